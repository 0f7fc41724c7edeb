-- Events :first to :last. Over a hundred days; what is of the same ten minutes comes in any order.
INSERT INTO checkpoint_events (
    id, identity, agent, topic, group_id, partition, "offset", key, entity_id, event_type,
    event_version, checksum, payload, event_time, created_at, sort_key
)
SELECT
    n,
    decode(md5('event' || n), 'hex'),
    (ARRAY['process_order', 'bill', 'ship', 'notify', 'keep'])[1 + floor(a * 5)::int],
    CASE
        WHEN n <= 3000 AND n % 100 = 0 THEN 'returns'
        WHEN b < 0.7 THEN 'orders'
        ELSE 'payments'
    END,
    CASE WHEN n % :rare = 1 THEN 'shop-canary' ELSE 'shop' END,
    CASE WHEN n % :rare = 2 THEN 11 ELSE n % 4 END,
    n / 4,
    convert_to('customer-' || floor(c * :entities)::int, 'UTF8'),
    'customer-' || CASE WHEN d < 0.01 THEN 'hot' ELSE floor(c * :entities)::int::text END,
    CASE
        WHEN n % :rare = 3 THEN 'order_reopened'
        ELSE (ARRAY['order_placed', 'order_paid', 'order_packed', 'order_shipped',
                    'order_delivered', 'order_cancelled', 'order_rated'])[1 + floor(e * 7)::int]
    END,
    CASE WHEN n % :rare = 4 THEN '0' WHEN e < 0.9 THEN '1' ELSE '2' END,
    decode(md5(CASE WHEN n % 100 = 5 THEN 'heartbeat' ELSE 'checksum' || n END), 'hex'),
    overlay(:payload PLACING md5(n::text)::uuid::text FROM 8)::json,
    CASE WHEN f >= 0.05 THEN moment END,
    moment + INTERVAL '20 ms',
    CASE WHEN f >= 0.05 THEN (extract(EPOCH FROM moment) * 1000000)::bigint ELSE :no_time END
FROM (
    SELECT
        n, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e,
        random() AS f,
        TIMESTAMPTZ '2026-01-01 00:00:00+00' + n * INTERVAL '100 days' / :rows
            + random() * INTERVAL '10 minutes' AS moment
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
) AS chances

-- Failures :first to :last: their columns are those of events, and what is told of the error.
-- Kind k of error is as frequent as 1 / k; what is resolved has become an event since.
INSERT INTO checkpoint_failures (
    id, identity, open_key, agent, topic, group_id, partition, "offset", key, entity_id,
    event_type, event_version, checksum, payload, metadata, event_time, created_at,
    first_failed_at, last_failed_at, sort_key, status, fingerprint, error_class, error_message,
    error_backtrace, attempts
)
SELECT
    n,
    identity,
    CASE WHEN status = 'open' THEN identity END,
    (ARRAY['process_order', 'bill', 'ship', 'notify', 'keep'])[1 + kind % 5],
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
    :origin ::json,
    CASE WHEN f >= 0.05 THEN moment END,
    moment + INTERVAL '40 s',
    moment + INTERVAL '40 s',
    moment + INTERVAL '40 s' + random() * INTERVAL '1 day',
    CASE WHEN f >= 0.05 THEN (extract(EPOCH FROM moment) * 1000000)::bigint ELSE :no_time END,
    status,
    decode(md5('kind' || kind), 'hex'),
    'app.errors.' || CASE WHEN n % :rare = 5 THEN 'RareError' ELSE 'Error' || kind % 20 END,
    'card ' || n || ' was declined by bank ' || kind || ': try another one'
        || CASE WHEN n % :rare = 6 THEN ', or a needle' ELSE '' END,
    :backtrace ::json,
    6
FROM (
    SELECT
        *,
        CASE WHEN n % :rare = 7 THEN 201 ELSE floor(exp(a * ln(201)))::int END AS kind,
        decode(md5(CASE WHEN status = 'resolved' THEN 'event' ELSE 'failure' END
                   || n * :events_each), 'hex') AS identity
    FROM (
        SELECT
            *, CASE WHEN g < 0.6 THEN 'open' WHEN g < 0.9 THEN 'resolved' ELSE 'discarded' END
                AS status
        FROM (
            SELECT
                n, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e,
                random() AS f, random() AS g,
                TIMESTAMPTZ '2026-01-01 00:00:00+00' + n * INTERVAL '100 days' / :rows
                    + random() * INTERVAL '10 minutes' AS moment
            FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
        ) AS chances
    ) AS fates
) AS kinds

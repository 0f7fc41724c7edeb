-- Events :first to :last as the benchmark's agent has them recorded, with identities in no order.
INSERT INTO checkpoint_events (
    identity, agent, topic, group_id, partition, "offset", key, entity_id, event_type,
    event_version, checksum, payload, event_time, sort_key
)
SELECT
    decode(md5('identity' || n), 'hex'),
    'benchmarks.cases.checkpoint.process_order',
    'orders',
    'earlier',
    n % 4,
    n / 4,
    convert_to(entity, 'UTF8'),
    entity,
    'order_placed',
    '1',
    decode(md5('checksum' || n), 'hex'),
    overlay(:payload PLACING entity FROM 8)::json,
    moment,
    (extract(EPOCH FROM moment) * 1000000)::bigint
FROM (
    SELECT
        n,
        md5(n::text)::uuid::text AS entity,
        TIMESTAMPTZ '2025-03-01 00:07:09.125+00'
            + n % 28 * INTERVAL '1 day' + n % 24 * INTERVAL '1 hour' AS moment
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
) AS made

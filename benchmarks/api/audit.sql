-- What became of the failures that are open no more, done by somebody.
INSERT INTO checkpoint_audit (
    created_at, actor, request_id, action, subject, subject_id, topic, before, after
)
SELECT
    last_failed_at + INTERVAL '1 hour',
    'ops',
    md5('request' || id),
    CASE WHEN status = 'resolved' THEN 'retry' ELSE 'discard' END,
    'failure',
    id,
    topic,
    :before ::json,
    :after ::json
FROM checkpoint_failures
WHERE status <> 'open'
ORDER BY id

-- What each bulk operation has selected, and what became of it.
INSERT INTO checkpoint_operation_items (operation_id, position, failure_id, outcome)
SELECT operation, position, 1 + (operation * 7919 + position) % :failures,
    CASE WHEN position % 20 = 0 THEN 'failed' ELSE 'acknowledged' END
FROM generate_series(1, CAST(:operations AS integer)) AS operation,
    generate_series(0, CAST(:each AS integer) - 1) AS position

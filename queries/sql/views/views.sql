-- The views of schema `deployforge`, one statement each, in order. The comment above a statement is
-- its description in the docs and in the session's `\v`. Views have no order: queries name it.

-- Every transition of a finding that no normaliser suppressed.
CREATE VIEW findings AS
SELECT sequence, resource_id, finding_id, transition, provider, account, region, type, id, address,
       environment, path, kind, expected, observed, leaves, severity, baseline, baseline_version,
       source, observed_at, ingested_at, committed_at
FROM finding_transitions WHERE fold IS NULL;

-- What is true of each resource now.
CREATE VIEW verdicts AS
SELECT provider, account, region, type, id, address, environment, dialect, verdict, reason, score,
       severity, findings, leaves, skipped, version, last_observed_at, baseline, baseline_version, source,
       observed_at, ingested_at, committed_at, resource_id, sequence, state_hash
FROM verdict_transitions
WHERE sequence IN (SELECT max(sequence) FROM verdict_transitions GROUP BY resource_id)
  AND verdict IS NOT NULL;

-- Every finding that is open now, informational ones included.
CREATE VIEW current_findings AS
SELECT * FROM findings
WHERE sequence IN (SELECT max(sequence) FROM finding_transitions GROUP BY finding_id)
  AND transition <> 'closed';

-- What is drifted or missing now, and since when.
CREATE VIEW drifted_now AS
SELECT v.environment, v.provider, v.account, v.region, v.type, v.id, v.address, v.verdict, v.score,
       v.severity, v.findings, s.since, v.baseline, v.baseline_version
FROM verdicts v
JOIN (
  SELECT t.resource_id, min(t.observed_at) AS since
  FROM verdict_transitions t
  LEFT JOIN (
    SELECT resource_id, max(sequence) AS sequence
    FROM verdict_transitions
    WHERE verdict IS NULL OR verdict NOT IN ('drifted', 'missing') OR severity IS NULL
    GROUP BY resource_id
  ) good ON good.resource_id = t.resource_id
  WHERE t.sequence > coalesce(good.sequence, -1)
  GROUP BY t.resource_id
) s ON s.resource_id = v.resource_id
WHERE v.verdict IN ('drifted', 'missing') AND v.severity IS NOT NULL;

-- Environments: how many resources drift, and how far.
CREATE VIEW environments AS
SELECT environment,
       count(*) AS resources,
       sum(CASE WHEN verdict = 'drifted' THEN 1 ELSE 0 END) AS drifted,
       sum(CASE WHEN verdict = 'missing' AND severity IS NOT NULL THEN 1 ELSE 0 END) AS missing,
       sum(CASE WHEN verdict = 'unmanaged' AND severity IS NOT NULL THEN 1 ELSE 0 END) AS unmanaged,
       sum(CASE WHEN verdict = 'unknown' THEN 1 ELSE 0 END) AS unknown,
       round(avg(CASE WHEN verdict IN ('in_sync', 'drifted')
                        OR (verdict = 'missing' AND severity IS NOT NULL) THEN score END), 3) AS score
FROM verdicts
GROUP BY environment;

-- What changed today (UTC): every transition of a finding that counts.
CREATE VIEW changed_today AS
SELECT committed_at, transition, environment, type, id, path, kind, expected, observed, severity
FROM findings
WHERE kind <> 'reordered' AND committed_at >= date_trunc('day', now());

-- How much could be judged, per environment, source and type: a coverage of 1 leaves nothing unknown. Of
-- the attributes that baselines declare of what was judged, how many were compared.
CREATE VIEW coverage AS
SELECT environment, source, type,
       count(*) AS resources,
       sum(CASE WHEN verdict = 'unknown' THEN 1 ELSE 0 END) AS unknown,
       round(1.0 - CAST(sum(CASE WHEN verdict = 'unknown' THEN 1 ELSE 0 END) AS DOUBLE) / count(*), 4) AS coverage,
       sum(leaves) AS attributes,
       sum(leaves - skipped) AS compared
FROM verdicts
GROUP BY environment, source, type;

-- Attributes by how often they open, change and close: candidates for a rule or for a talk.
CREATE VIEW noisiest_attributes AS
SELECT type, path, count(*) AS transitions, count(DISTINCT resource_id) AS resources
FROM findings
GROUP BY type, path;

-- Resources that left their baseline more than once.
CREATE VIEW flapping AS
SELECT environment, type, id, count(*) AS times_drifted, max(observed_at) AS last
FROM (
  SELECT environment, type, id, observed_at, away,
         lag(away) OVER (PARTITION BY resource_id ORDER BY sequence) AS before
  FROM (
    SELECT *, verdict IN ('drifted', 'missing') AND severity IS NOT NULL AS away
    FROM verdict_transitions
  ) a
) t
WHERE away AND (before IS NULL OR NOT before)
GROUP BY environment, type, id
HAVING count(*) > 1;

-- What was put right: findings that closed while their resource could be judged, and how long they were open.
CREATE VIEW put_right AS
SELECT c.environment, c.type, c.id, c.path, max(o.observed_at) AS opened_at,
       c.observed_at AS closed_at, c.observed_at - max(o.observed_at) AS open_for
FROM findings c
JOIN findings o ON o.finding_id = c.finding_id AND o.transition = 'opened'
               AND o.sequence < c.sequence
LEFT JOIN verdict_transitions v ON v.resource_id = c.resource_id AND v.ingested_at = c.ingested_at
                               AND v.verdict NOT IN ('in_sync', 'drifted')
WHERE c.transition = 'closed' AND c.kind <> 'reordered' AND v.verdict IS NULL
GROUP BY c.sequence, c.environment, c.type, c.id, c.path, c.observed_at;

-- Resource types: how many of each drift, and how far.
CREATE VIEW types AS
SELECT type,
       count(*) AS resources,
       sum(CASE WHEN verdict IN ('drifted', 'missing') AND severity IS NOT NULL THEN 1 ELSE 0 END) AS drifted_or_missing,
       round(avg(CASE WHEN verdict IN ('in_sync', 'drifted')
                        OR (verdict = 'missing' AND severity IS NOT NULL) THEN score END), 3) AS score
FROM verdicts
GROUP BY type;

-- Resources that exist and no baseline declares.
CREATE VIEW unmanaged_now AS
SELECT environment, provider, account, region, type, id, observed_at
FROM verdicts WHERE verdict = 'unmanaged' AND severity IS NOT NULL;

-- Why resources could not be judged.
CREATE VIEW unknown_reasons AS
SELECT reason, type, count(*) AS resources
FROM verdicts WHERE verdict = 'unknown'
GROUP BY reason, type;

-- Differences that a normaliser suppressed, by its name.
CREATE VIEW suppressed AS
SELECT fold, type, path, count(*) AS resources
FROM finding_transitions
WHERE sequence IN (SELECT max(sequence) FROM finding_transitions GROUP BY finding_id)
  AND transition <> 'closed' AND fold IS NOT NULL
GROUP BY fold, type, path;

-- Checks per minute and what they found.
CREATE VIEW checks_per_minute AS
SELECT minute, sum(checked) AS checked, sum(in_sync) AS in_sync, sum(drifted) AS drifted,
       sum(missing) AS missing, sum(unmanaged) AS unmanaged, sum(unknown) AS unknown,
       sum(late) AS late
FROM checks GROUP BY minute;

-- Who changed what differs now: of each open finding the newest event of an audit log that wrote to the resource within a day before the finding was observed.
CREATE VIEW who_changed AS
SELECT environment, provider, account, region, type, id, path, kind, severity, observed_at, at, actor,
       actor_type, tool, action, caller, matched, log, event_id, finding_id
FROM (
  SELECT f.environment, f.provider, f.account, f.region, f.type, f.id, f.path, f.kind, f.severity,
         f.observed_at, e.at, e.actor, e.actor_type, e.tool, e.action, e.caller, e.log, e.event_id,
         f.finding_id, CASE WHEN f.whole AND e.whole THEN 'id' ELSE 'name' END AS matched,
         row_number() OVER (PARTITION BY f.finding_id
                            ORDER BY e.at DESC, f.whole AND e.whole DESC, e.event_id) AS nth
  FROM (
    SELECT *, lower(id) AS name, true AS whole FROM current_findings
    UNION ALL
    SELECT *, lower(regexp_replace(id, '^.*[:/]', '')) AS name, false AS whole
    FROM current_findings WHERE strpos(id, ':') > 0 OR strpos(id, '/') > 0
  ) f
  JOIN (
    SELECT at, actor, actor_type, tool, action, caller, provider, account, log, event_id,
           lower(resource) AS name, true AS whole
    FROM (SELECT *, unnest(string_to_array(resources, chr(10))) AS resource FROM evidence) w
    WHERE NOT read_only AND error = '' AND actor <> ''
    UNION ALL
    SELECT at, actor, actor_type, tool, action, caller, provider, account, log, event_id,
           lower(regexp_replace(resource, '^.*[:/]', '')) AS name, false AS whole
    FROM (SELECT *, unnest(string_to_array(resources, chr(10))) AS resource FROM evidence) w
    WHERE NOT read_only AND error = '' AND actor <> ''
      AND (strpos(resource, ':') > 0 OR strpos(resource, '/') > 0)
  ) e ON e.name = f.name
  WHERE f.name <> '' AND (f.whole OR e.whole)
    AND (f.account = e.account OR f.account = '' OR e.account = '')
    AND (f.provider = e.provider OR e.provider = '' OR f.account = e.account)
    AND e.at <= f.observed_at AND e.at >= f.observed_at - INTERVAL '24 hours'
) t
WHERE nth = 1;

-- Writes the entries of a commit: the parameters are the columns of the rows to write, a letter for each table. A
-- statement runs in the transaction of its caller; nothing is written if it raises.
--
-- SG001: this host's row is another's by now. SG002: an event was applied before. SG003: an entry was decided on rows that
-- another host has changed meanwhile. SG004: another host has replied under an idempotency key. SG005: other rules are active
-- by now. SG006: another host reads a partition by now. SG007: the server has lost commits of this host.
CREATE FUNCTION saga_commit_v4(
    of_host bigint, of_incarnation bigint, of_epoch bigint, last_number bigint, number bigint, counted_by bigint,
    -- identities of events
    i_participant bigint[], i_id text[], i_source text[], i_time bigint[],
    -- aggregates that were removed: their timers go
    g_participant bigint[], g_key text[],
    -- states in another shape; the base is the revision that was decided on, 0 if there was none
    m_participant bigint[], m_key text[], m_base bigint[], m_version bigint[], m_state text[],
    -- states
    s_participant bigint[], s_key text[], s_base bigint[], s_revision bigint[], s_version bigint[], s_state text[],
    s_correlation text[],
    -- aggregates that were decided on and stay as they are
    u_participant bigint[], u_key text[], u_base bigint[],
    -- aggregates of which the host knows no parked messages
    h_participant bigint[], h_key text[],
    -- timers that fired (with their due time) or were cancelled
    d_participant bigint[], d_key text[], d_name text[], d_due bigint[],
    -- timers that were set
    t_participant bigint[], t_key text[], t_name text[], t_due bigint[], t_body text[], t_set_by text[],
    t_correlation text[], t_traceparent text[],
    -- replies under idempotency keys
    r_participant bigint[], r_key text[], r_fingerprint bytea[], r_aggregate text[], r_reply text[], r_correlation text[],
    r_time bigint[],
    -- members of lists; without a value if they leave
    l_participant bigint[], l_pointer text[], l_key text[], l_value text[],
    -- offsets of consumers
    o_consumer text[], o_topic bigint[], o_partition integer[], o_next bigint[], o_epoch bigint[], o_time bigint[], o_print bigint[],
    -- last generated keys
    k_participant bigint[], k_last bigint[],
    -- tallies
    c_generation bigint[], c_origin text[], c_name text[], c_decisions bigint[], c_refusals bigint[], c_faults bigint[],
    c_last bigint[],
    -- decisions
    j_generation bigint[], j_key text[], j_revision bigint[], j_state text[], j_decision bytea[], j_fuel bigint[],
    j_time bigint[],
    -- records to publish
    x_topic bigint[], x_partition integer[], x_generation bigint[], x_type text[], x_key bytea[], x_value bytea[],
    x_id text[], x_correlation text[], x_causation text[], x_traceparent text[], x_extra text[], x_time bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    rows bigint;
    more bigint;
    before_first bigint;
BEGIN
    -- An activation changes the epoch in the rows of all hosts, so it comes before this commit or after it.
    IF number IS NOT NULL THEN
        UPDATE hosts SET batch = number, seen = clock_timestamp()
        WHERE id = of_host AND incarnation = of_incarnation AND batch = last_number RETURNING epoch INTO more;
        IF NOT FOUND THEN
            PERFORM FROM hosts WHERE id = of_host AND incarnation = of_incarnation;
            IF FOUND THEN
                RAISE EXCEPTION 'commits of this host were lost' USING ERRCODE = 'SG007';
            END IF;
            RAISE EXCEPTION 'another host has the place of this one' USING ERRCODE = 'SG001';
        END IF;
        IF more <> of_epoch THEN
            RAISE EXCEPTION 'other rules are active by now' USING ERRCODE = 'SG005';
        END IF;
    END IF;
    IF cardinality(i_id) > 0 THEN
        INSERT INTO inbox SELECT * FROM unnest(i_participant, i_id, i_source, i_time) ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows < cardinality(i_id) THEN
            RAISE EXCEPTION 'an event was applied before' USING ERRCODE = 'SG002';
        END IF;
    END IF;
    IF cardinality(g_key) > 0 THEN
        DELETE FROM timers t USING unnest(g_participant, g_key) AS g(participant, key)
        WHERE t.participant = g.participant AND t.key = g.key;
    END IF;
    IF cardinality(m_key) > 0 THEN
        UPDATE aggregates a SET state = m.state, state_version = m.version
        FROM unnest(m_participant, m_key, m_base, m_version, m_state) AS m(participant, key, base, version, state)
        WHERE a.participant = m.participant AND a.key = m.key AND a.revision = m.base;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows < cardinality(m_key) THEN
            RAISE EXCEPTION 'another host has changed an aggregate' USING ERRCODE = 'SG003';
        END IF;
    END IF;
    IF cardinality(s_key) > 0 THEN
        INSERT INTO aggregates (participant, key, revision, state_version, state, correlation)
        SELECT participant, key, revision, version, state, correlation
        FROM unnest(s_participant, s_key, s_base, s_revision, s_version, s_state, s_correlation)
            AS s(participant, key, base, revision, version, state, correlation)
        WHERE base = 0
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows < cardinality(s_key) THEN
            UPDATE aggregates a SET revision = s.revision, state_version = s.version, state = s.state,
                correlation = s.correlation
            FROM unnest(s_participant, s_key, s_base, s_revision, s_version, s_state, s_correlation)
                AS s(participant, key, base, revision, version, state, correlation)
            WHERE s.base > 0 AND a.participant = s.participant AND a.key = s.key AND a.revision = s.base;
            GET DIAGNOSTICS more = ROW_COUNT;
            IF rows + more < cardinality(s_key) THEN
                RAISE EXCEPTION 'another host has changed an aggregate' USING ERRCODE = 'SG003';
            END IF;
        END IF;
    END IF;
    -- A decision that changes nothing may have published what it refuses.
    IF cardinality(u_key) > 0 THEN
        PERFORM FROM unnest(u_participant, u_key, u_base) AS u(participant, key, base)
        JOIN aggregates a ON a.participant = u.participant AND a.key = u.key
        WHERE a.revision = u.base FOR SHARE OF a;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows < cardinality(u_key) THEN
            SELECT count(*) INTO more FROM unnest(u_participant, u_key, u_base) AS u(participant, key, base)
            WHERE u.base = 0
                AND NOT EXISTS (SELECT FROM aggregates a WHERE a.participant = u.participant AND a.key = u.key);
            IF rows + more < cardinality(u_key) THEN
                RAISE EXCEPTION 'another host has changed an aggregate' USING ERRCODE = 'SG003';
            END IF;
        END IF;
    END IF;
    IF cardinality(h_key) > 0 THEN
        PERFORM FROM unnest(h_participant, h_key) AS h(participant, key)
        JOIN parked p ON p.participant = h.participant AND p.key = h.key LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'another host has parked a message of an aggregate' USING ERRCODE = 'SG003';
        END IF;
    END IF;
    IF cardinality(d_key) > 0 THEN
        SELECT count(*) INTO more FROM unnest(d_participant, d_key, d_due) AS d(participant, key, due)
        WHERE due IS NOT NULL AND NOT EXISTS (
            SELECT FROM unnest(g_participant, g_key) AS g(participant, key)
            WHERE g.participant = d.participant AND g.key = d.key);
        DELETE FROM timers t USING unnest(d_participant, d_key, d_name, d_due) AS d(participant, key, name, due)
        WHERE t.participant = d.participant AND t.key = d.key AND t.name = d.name AND t.due = d.due;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows < more THEN
            RAISE EXCEPTION 'another host has consumed or changed a timer' USING ERRCODE = 'SG003';
        END IF;
        DELETE FROM timers t USING unnest(d_participant, d_key, d_name, d_due) AS d(participant, key, name, due)
        WHERE t.participant = d.participant AND t.key = d.key AND t.name = d.name AND d.due IS NULL;
    END IF;
    IF cardinality(t_key) > 0 THEN
        INSERT INTO timers (participant, key, name, due, body, set_by, correlation, traceparent)
        SELECT * FROM unnest(t_participant, t_key, t_name, t_due, t_body, t_set_by, t_correlation, t_traceparent)
        ON CONFLICT (participant, key, name) DO UPDATE SET due = excluded.due, body = excluded.body,
            set_by = excluded.set_by, correlation = excluded.correlation, traceparent = excluded.traceparent,
            parked = NULL, reason = NULL, detail = NULL, attempts = NULL, digest = NULL;
    END IF;
    IF cardinality(r_key) > 0 THEN
        INSERT INTO idempotency_keys (participant, key, fingerprint, aggregate, reply, correlation, time)
        SELECT * FROM unnest(r_participant, r_key, r_fingerprint, r_aggregate, r_reply, r_correlation, r_time)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows < cardinality(r_key) THEN
            RAISE EXCEPTION 'another host has replied under an idempotency key' USING ERRCODE = 'SG004';
        END IF;
    END IF;
    IF cardinality(l_key) > 0 THEN
        DELETE FROM listed d USING unnest(l_participant, l_pointer, l_key, l_value) AS l(participant, pointer, key, value)
        WHERE l.value IS NULL AND d.participant = l.participant AND d.pointer = l.pointer AND d.key = l.key;
        INSERT INTO listed AS old (participant, pointer, value, key)
        SELECT participant, pointer, value, key
        FROM unnest(l_participant, l_pointer, l_key, l_value) AS l(participant, pointer, key, value)
        WHERE value IS NOT NULL
        ON CONFLICT (participant, pointer, key) DO UPDATE SET value = excluded.value WHERE old.value <> excluded.value;
    END IF;
    IF cardinality(o_consumer) > 0 THEN
        INSERT INTO offsets AS old (consumer, topic, partition, next_offset, epoch, last_time, last_print)
        SELECT * FROM unnest(o_consumer, o_topic, o_partition, o_next, o_epoch, o_time, o_print)
        ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset,
            last_time = excluded.last_time, last_print = excluded.last_print
        WHERE old.epoch = excluded.epoch;
        GET DIAGNOSTICS rows = ROW_COUNT;
        IF rows < cardinality(o_consumer) THEN
            RAISE EXCEPTION 'another host reads a partition by now' USING ERRCODE = 'SG006';
        END IF;
    END IF;
    IF cardinality(k_last) > 0 THEN
        UPDATE participants p SET last_key = greatest(p.last_key, k.last)
        FROM unnest(k_participant, k_last) AS k(participant, last) WHERE p.id = k.participant;
    END IF;
    IF cardinality(c_name) > 0 THEN
        INSERT INTO tallies AS old (generation, origin, name, host, decisions, refusals, faults, last)
        SELECT generation, origin, name, counted_by, decisions, refusals, faults, last
        FROM unnest(c_generation, c_origin, c_name, c_decisions, c_refusals, c_faults, c_last)
            AS c(generation, origin, name, decisions, refusals, faults, last)
        ON CONFLICT (generation, origin, name, host) DO UPDATE SET decisions = old.decisions + excluded.decisions,
            refusals = old.refusals + excluded.refusals, faults = old.faults + excluded.faults,
            last = greatest(old.last, excluded.last);
    END IF;
    -- The journal's end and the ends of the outbox's partitions come last: other hosts wait for them.
    IF cardinality(j_key) > 0 THEN
        UPDATE journal_end SET seq = seq + cardinality(j_key) RETURNING seq - cardinality(j_key) INTO before_first;
        INSERT INTO journal (seq, generation, key, revision, state, decision, fuel, time)
        SELECT before_first + place, generation, key, revision, state, decision, fuel, time
        FROM unnest(j_generation, j_key, j_revision, j_state, j_decision, j_fuel, j_time)
            WITH ORDINALITY AS j(generation, key, revision, state, decision, fuel, time, place);
    END IF;
    IF cardinality(x_topic) > 0 THEN
        WITH given AS (
            SELECT x.*, row_number() OVER (PARTITION BY topic, partition ORDER BY place) AS nth,
                count(*) OVER (PARTITION BY topic, partition) AS all_of_it
            FROM unnest(x_topic, x_partition, x_generation, x_type, x_key, x_value, x_id, x_correlation, x_causation,
                x_traceparent, x_extra, x_time) WITH ORDINALITY AS x(topic, partition, generation, event_type, key, value,
                event_id, correlation, causation, traceparent, extra, time, place)
        ), ends AS (
            INSERT INTO partitions AS old (topic, partition, next_offset)
            SELECT topic, partition, count(*) FROM given GROUP BY topic, partition ORDER BY topic, partition
            ON CONFLICT (topic, partition) DO UPDATE SET next_offset = old.next_offset + excluded.next_offset
            RETURNING topic, partition, next_offset
        )
        INSERT INTO outbox (topic, partition, position, generation, event_type, key, value, event_id, correlation,
            causation, traceparent, extra, time)
        SELECT g.topic, g.partition, e.next_offset - g.all_of_it + g.nth - 1, g.generation, g.event_type, g.key, g.value,
            g.event_id, g.correlation, g.causation, g.traceparent, g.extra, g.time
        FROM given g JOIN ends e ON e.topic = g.topic AND e.partition = g.partition;
    END IF;
END
$$;

//! Every statement the gateway sends. The extension may live in any schema, so its name is looked up once and quoted
//! into each; parameters never are.

/// The statements of one database.
#[derive(Debug)]
pub struct Statements {
    pub save_quote: String,
    pub save_line: String,
    pub join: String,
    pub heartbeat: String,
    pub leave: String,
    pub sessions: String,
    pub history: String,
    pub updated_since: String,
    pub quote: String,
    pub quotes: String,
    pub is_accessible: String,
    pub events_between: String,
    pub presence: String,
    pub sweep: String,
    pub maintenance: String,
    pub relay: RelayStatements,
}

/// What only the relay sends.
#[derive(Debug)]
pub struct RelayStatements {
    pub identity: String,
    pub lease: String,
    pub next_batch: String,
    pub first_batch: String,
    pub last_batch: String,
    pub read_batch: String,
    pub checkpoint: String,
    pub save_checkpoint: String,
}

/// Where the extension lives, and its release.
pub const FIND_EXTENSION: &str = "select n.nspname, e.extversion from pg_catalog.pg_extension e \
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'quote_collab_ext'";

/// Whether row security does not hold the role that all statements run as.
pub const IS_ABOVE_ROW_SECURITY: &str =
    "select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles r where r.rolname = current_user";

impl Statements {
    /// Statements for an extension in this schema.
    pub fn for_schema(schema: &str) -> Self {
        let at = |sql: &str| sql.replace("@.", &format!("{}.", quoted(schema)));
        Self {
            save_quote: at(
                "select r.success, r.quote as row, r.previous_version, r.new_version, r.conflicts, null::jsonb as quote \
                from @.update_quote_with_version_check(quote_id => $1, expected_version => $2, changes => $3, session_id => $4) r",
            ),
            save_line: at(
                "select r.success, r.quote_line as row, r.previous_version, r.new_version, r.conflicts, r.quote \
                from @.update_quote_line_with_version_check(line_id => $1, expected_version => $2, changes => $3, session_id => $4) r",
            ),
            join: at(
                "select to_jsonb(s) from @.join_quote_session(quote_id => $1, session_id => $2, user_name => $3, user_email => $4) s",
            ),
            heartbeat: at(
                "select @.heartbeat_quote_session(session_id => $1, current_line_id => $2, current_field => $3, \
                cursor_position => $4, is_editing => $5, status => $6)",
            ),
            leave: at("select @.leave_quote_session(session_id => $1)"),
            sessions: at("select to_jsonb(s) from @.get_active_quote_sessions(quote_id => $1) s"),
            history: at(&bounded(
                "",
                "(select to_jsonb(c) as event from @.get_quote_change_history(quote_id => $1, max_rows => $2) c)",
                ("$3", "true"),
            )),
            updated_since: at("select @.has_quote_been_updated(quote_id => $1, since_version => $2)"),
            quote: at("select @.get_quote(quote_id => $1)"),
            quotes: at("select q from @.list_quotes(max_rows => $1) q"),
            is_accessible: at("select @.quote_is_accessible(quote_id => $1)"),
            events_between: at(&bounded(
                "e.batch, e.position,",
                "@.quote_events_between(quote_id => $1, after_batch => $2, after_position => $3, until_batch => $4, \
                until_position => $5, max => $6)",
                ("$7", "$8"),
            )),
            presence: at("select to_jsonb(s) as session, to_jsonb(t.now) #>> '{}' as seen_at, \
                ceil(extract(epoch from s.last_heartbeat + @.quote_session_ttl() - t.now) * 1000)::bigint as stale_in_ms \
                from (select clock_timestamp() as now) t left join @.quote_presence_snapshot() s on true"),
            // A standby has nothing to sweep.
            sweep: at("select @.cleanup_stale_quote_sessions() where not pg_is_in_recovery()"),
            maintenance: at("select @.quote_collab_maintenance()"),
            relay: RelayStatements::for_schema(&at),
        }
    }
}

impl RelayStatements {
    fn for_schema(at: &dyn Fn(&str) -> String) -> Self {
        Self {
            identity: at("select i.system_identifier, i.timeline from @.quote_relay_identity() i"),
            lease: at("select @.quote_relay_lease(holder => $1, ttl => make_interval(secs => $2))"),
            next_batch: at(
                "select b.batch, b.position, b.event, b.size, b.has_next from @.quote_relay_next_batch(epoch => $1, \
                known => $2, system_identifier => $3, timeline => $4, max => $5, max_bytes => $6) b",
            ),
            first_batch: at("select @.quote_relay_first_batch()"),
            last_batch: at("select @.quote_relay_last_batch()"),
            read_batch: at(&bounded(
                "e.position,",
                "@.quote_relay_read(batch => $1, after_position => $2, max => $3)",
                ("$4", "$5"),
            )),
            checkpoint: at("select p.batch, p.position, p.stream_seq from @.quote_relay_position() p"),
            save_checkpoint: at(
                "select @.quote_relay_checkpoint(epoch => $1, batch => $2, \"position\" => $3, stream_seq => $4)",
            ),
        }
    }
}

/// Rows of a source, from the first one on, as long as all of them are no larger than so many bytes. The first one alone
/// may be, if that is wanted: whoever reads on behind what came must come on. Each tells whether another of the source follows it.
fn bounded(columns: &str, source: &str, (bytes, first_at_any_rate): (&str, &str)) -> String {
    format!(
        "select {columns} e.event::text as event, e.size, e.has_next \
        from (select r.*, pg_column_size(r.event) as size, sum(pg_column_size(r.event)) over reading as read, \
                lead(true, 1, false) over reading as has_next \
            from {source} r window reading as (rows unbounded preceding)) e \
        where e.read <= {bytes} or ({first_at_any_rate} and e.read = e.size)"
    )
}

/// A quoted SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_quoted_everywhere() {
        let statements = Statements::for_schema("a\"b");
        assert_eq!(statements.leave, "select \"a\"\"b\".leave_quote_session(session_id => $1)");
        assert!(!format!("{statements:?}").contains("@."));
    }

    #[test]
    fn what_the_extension_decides_is_not_decided_again() {
        assert!(!format!("{:?}", Statements::for_schema("public")).contains("interval '"));
    }
}

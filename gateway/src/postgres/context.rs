//! In whose name a transaction runs.

use std::fmt::Write as _;
use std::time::Duration;

use uuid::Uuid;

use crate::token::Identity;

/// How often PostgreSQL looks whether the client of a running statement is still there. So long a statement outlives its
/// connection, and so many more of them than connections there may be: as many as begin and are given up meanwhile.
pub const CLIENT_CHECK: Duration = Duration::from_millis(250);

/// Between the statements of a transaction nothing is waited for but the wire: whoever is idle there for so long is lost, and
/// his locks must not be.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);

/// Has a quiet connection live, whatever the server or the role is set to: it is kept for what comes next. Also after the transaction,
/// since it counts between them only; behind a pooler it stays with the server's connection, whose end is the pooler's business.
pub(super) const NEVER_IDLE: &str = "set_config('idle_session_timeout', '0', false)";

/// Tenant, user and session of one transaction. All three are transaction-local settings, so a pooler in transaction
/// mode never mixes people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    tenant: Option<Uuid>,
    user: Option<Uuid>,
    session: Option<Uuid>,
}

impl RequestContext {
    /// The gateway's own work: no tenant, no user.
    #[must_use]
    pub const fn own() -> Self {
        Self { tenant: None, user: None, session: None }
    }

    /// Whether nobody is waiting for an answer.
    pub(super) const fn is_own(&self) -> bool {
        self.tenant.is_none()
    }

    /// The work of whoever a token names.
    #[must_use]
    pub const fn of(identity: &Identity) -> Self {
        Self { tenant: Some(identity.tenant), user: Some(identity.user), session: None }
    }

    /// The same, from an editing session.
    #[must_use]
    pub const fn in_session(mut self, session: Option<Uuid>) -> Self {
        self.session = session;
        self
    }

    /// What opens the transaction: one simple query, so that it needs no round trip of its own. Only UUIDs and a
    /// number go in, whose spelling cannot contain a quote. Every setting is set each time, also to nothing, because a
    /// default of the role must not stand in for a tenant that is not there; nor for the isolation in which whoever saves second is told
    /// of the conflict, and not that he cannot be served.
    pub(super) fn opening(&self, statement_timeout: Duration) -> String {
        let mut sql = String::with_capacity(768);
        sql.push_str("begin isolation level read committed; select ");
        let ids = [
            ("app.current_tenant_id", self.tenant),
            ("app.current_user_id", self.user),
            ("app.current_session_id", self.session),
        ];
        for (name, id) in ids {
            let _ = match id {
                Some(id) => write!(sql, "set_config('{name}', '{id}', true), "),
                None => write!(sql, "set_config('{name}', '', true), "),
            };
        }
        let (check, milliseconds) = (CLIENT_CHECK.as_millis(), statement_timeout.as_millis());
        let idle = IDLE_IN_TRANSACTION.as_millis();
        // The one statement of a transaction has a time-out, and so has what lies around it. Servers before 17 have none for all.
        let _ = write!(
            sql,
            "set_config('TimeZone', 'UTC', true), {NEVER_IDLE}, \
            set_config('idle_in_transaction_session_timeout', '{idle}', true), \
            case when current_setting('transaction_timeout', true) <> '0' then set_config('transaction_timeout', '0', true) end, \
            set_config('client_connection_check_interval', '{check}', true), \
            set_config('statement_timeout', '{milliseconds}', true)"
        );
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_names_tenant_user_and_session() {
        let context = RequestContext {
            tenant: Some(Uuid::from_u128(1)),
            user: Some(Uuid::from_u128(2)),
            session: None,
        };
        let sql = context.in_session(Some(Uuid::from_u128(3))).opening(Duration::from_secs(5));
        assert!(sql.starts_with("begin isolation level read committed; select set_config('app.current_tenant_id', '00000000-0000-0000-0000-000000000001', true), "));
        assert!(
            sql.contains(
                "set_config('app.current_session_id', '00000000-0000-0000-0000-000000000003', true)"
            )
        );
        assert!(sql.ends_with("set_config('statement_timeout', '5000', true)"));
        assert!(
            RequestContext::own()
                .opening(Duration::ZERO)
                .contains("set_config('app.current_tenant_id', '', true)")
        );
    }

    #[test]
    fn time_outs_of_the_server_or_the_role_end_no_connection() {
        let sql = RequestContext::own().opening(Duration::from_secs(5));
        for setting in [
            "set_config('idle_session_timeout', '0', false)",
            "set_config('idle_in_transaction_session_timeout', '5000', true)",
            "current_setting('transaction_timeout', true)",
            "set_config('transaction_timeout', '0', true)",
        ] {
            assert!(sql.contains(setting), "{setting}: {sql}");
        }
    }
}

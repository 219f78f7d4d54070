//! Errors of the database, and what a client learns of them.

use tokio_postgres::error::SqlState;

use crate::failure::{Code, Failure};

/// Why a statement gave no result.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection, or it broke.
    #[error("postgresql cannot be reached: {0}")]
    Unreachable(String),
    /// The address makes no sense.
    #[error("the database address cannot be read")]
    Address,
    /// No answer in time.
    #[error("postgresql did not answer in time")]
    TimedOut,
    /// PostgreSQL said no.
    #[error("postgresql refused with {}{}", sqlstate.code(), words(sqlstate, message, hint.as_deref()))]
    Refused {
        /// Which kind.
        sqlstate: SqlState,
        /// What it said.
        message: String,
        /// More about this case.
        detail: Option<String>,
        /// What helps.
        hint: Option<String>,
    },
    /// The answer has another shape than agreed with the extension.
    #[error("unexpected answer of postgresql: {0}")]
    Unexpected(String),
    /// There is more than one answer may hold.
    #[error("the answer is too large: ask for fewer rows")]
    TooLarge,
    /// The extension is not there.
    #[error(
        "extension quote_collab_ext is not installed in this database; run: create extension quote_collab_ext"
    )]
    NoExtension,
    /// Row security does not hold the role: it would see and change what is of all tenants.
    #[error(
        "row security does not hold the gateway's role, which is a superuser or has bypassrls; take that from it \
        (alter role … nosuperuser nobypassrls), or use a role that was given its rights by grant_quote_gateway"
    )]
    AboveRowSecurity,
    /// The extension is of a release before this gateway's.
    #[error(
        "extension quote_collab_ext is of release {found}, which is too old; run: alter extension quote_collab_ext update"
    )]
    OldExtension {
        /// Its release.
        found: String,
    },
}

/// Classes of SQLSTATE whose messages are about connections, rights, names, resources and the state of the server. Those of the others
/// may quote what a row has.
const ABOUT_THE_SERVER: [&str; 13] =
    ["08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58", "QC"];

/// What an operator may read of a refusal.
fn words(sqlstate: &SqlState, message: &str, hint: Option<&str>) -> String {
    let class = sqlstate.code().get(..2).unwrap_or_default();
    if !ABOUT_THE_SERVER.contains(&class) {
        return String::new();
    }
    hint.map_or_else(|| format!(": {message}"), |hint| format!(": {message}; {hint}"))
}

/// The feed does not reach back to a cursor, or is another.
pub(super) const OTHER_HISTORY: &str = "QC001";
/// Another relay has the lease.
pub(super) const LEASE_LOST: &str = "QC002";
/// The transaction may not write.
const READ_ONLY: &str = "25006";
/// The server ended a session because it, its transaction or a pause in that took too long.
const SESSION_TIMED_OUT: [&str; 3] = ["57P05", "25P03", "25P04"];

impl DatabaseError {
    /// The SQLSTATE, when PostgreSQL gave one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Refused { sqlstate, .. } => Some(sqlstate.code()),
            _ => None,
        }
    }

    /// Whether this database writes nothing: a standby, or one that was told so.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.sqlstate() == Some(READ_ONLY)
    }

    /// Whether it was told in the log where it was found, and stands until that is told to be over.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        matches!(self, Self::AboveRowSecurity)
    }

    /// Warns the log of what came of it, unless the log was told already.
    pub fn warn(&self, came_of_it: &'static str) {
        if !self.is_told() {
            tracing::warn!(error = %self, "{came_of_it}");
        }
    }

    /// Name of what is wrong with the database, where it can be mended while the gateway waits for it.
    #[must_use]
    pub const fn obstacle(&self) -> Option<&'static str> {
        match self {
            Self::AboveRowSecurity => Some("role_above_row_security"),
            _ => None,
        }
    }

    /// Whether a time-out of the server, and no failure of it, has ended the connection.
    #[must_use]
    pub fn is_session_timeout(&self) -> bool {
        self.sqlstate().is_some_and(|sqlstate| SESSION_TIMED_OUT.contains(&sqlstate))
    }

    /// Whether trying again without any change can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::Refused { sqlstate, .. } => code(sqlstate.code()) == Code::ServiceUnavailable,
            Self::Address
            | Self::Unexpected(_)
            | Self::TooLarge
            | Self::NoExtension
            | Self::AboveRowSecurity
            | Self::OldExtension { .. } => false,
        }
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refused) => Self::Refused {
                sqlstate: refused.code().clone(),
                message: refused.message().to_owned(),
                detail: refused.detail().map(str::to_owned),
                hint: refused.hint().map(str::to_owned),
            },
            None => Self::Unreachable(with_causes(&error)),
        }
    }
}

/// An error and what it comes from: the name that is not known, the port that refuses, the TLS that is missing. They are
/// words of the system and of the client, which name hosts and never the address with its password.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

impl From<deadpool_postgres::PoolError> for DatabaseError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            deadpool_postgres::PoolError::Timeout(_) => Self::TimedOut,
            other => Self::Unreachable(with_causes(&other)),
        }
    }
}

impl From<serde_json::Error> for DatabaseError {
    /// Only the place is kept: the text of a JSON error may quote the content.
    fn from(error: serde_json::Error) -> Self {
        Self::Unexpected(format!("json at line {} column {}", error.line(), error.column()))
    }
}

/// The kind a SQLSTATE stands for. Constraint violations and a plain RAISE come from the ERP's own rules about the
/// values a user sent, so they are the user's to read.
fn code(sqlstate: &str) -> Code {
    match (sqlstate, sqlstate.get(..2).unwrap_or_default()) {
        ("P0002", _) => Code::NotFound,
        ("42501", _) => Code::Forbidden,
        ("53400", _) => Code::RateLimited,
        ("54000", _) => Code::PayloadTooLarge,
        (OTHER_HISTORY, _) => Code::ResyncRequired,
        ("42703" | "0A000" | "P0001", _) | (_, "22" | "23") => Code::BadUserInput,
        // Of 25 a transaction that may not write, as on a standby, or that was ended for the time it took.
        (READ_ONLY | "25P03" | "25P04" | "57014" | "55P03", _) | (_, "08" | "40" | "53" | "57") => {
            Code::ServiceUnavailable
        }
        _ => Code::Internal,
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        let (sqlstate, message, detail, hint) = match error {
            DatabaseError::Refused { sqlstate, message, detail, hint } => (sqlstate, message, detail, hint),
            DatabaseError::TooLarge => {
                return Self::new(Code::PayloadTooLarge, error.to_string()).hint("Give a smaller limit.");
            }
            // It is told where it is found, once and not for each request.
            DatabaseError::AboveRowSecurity => {
                return Self::new(Code::ServiceUnavailable, "the database is not prepared for the gateway");
            }
            error if error.is_transient() => {
                tracing::warn!(%error, "database is away");
                return Self::new(Code::ServiceUnavailable, "the database cannot be reached");
            }
            error => {
                tracing::error!(%error, "request failed");
                return Self::new(Code::Internal, "internal error");
            }
        };
        let sqlstate = sqlstate.code().to_owned();
        match code(&sqlstate) {
            Code::Internal => {
                // The message may quote a row: the log gets the state only.
                tracing::error!(sqlstate, "statement failed with sqlstate {sqlstate}");
                Self::new(Code::Internal, "internal error")
            }
            Code::ServiceUnavailable => {
                tracing::warn!(sqlstate, "statement given up with sqlstate {sqlstate}");
                // A standby, or a role or database whose transactions are read-only by default.
                let message = match sqlstate.as_str() {
                    READ_ONLY => "the database takes no changes now",
                    _ => "the database is busy or restarting",
                };
                let mut failure = Self::new(Code::ServiceUnavailable, message);
                failure.sqlstate = Some(sqlstate);
                failure
            }
            code => {
                // The detail of a constraint violation is the whole row.
                let detail = detail.filter(|_| !sqlstate.starts_with("23"));
                Self { code, message, detail, hint, sqlstate: Some(sqlstate), retry_after: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sqlstate: &str) -> DatabaseError {
        DatabaseError::Refused {
            sqlstate: SqlState::from_code(sqlstate),
            message: "message".to_owned(),
            detail: Some("Detail.".to_owned()),
            hint: Some("Hint.".to_owned()),
        }
    }

    fn failure(sqlstate: &str) -> Failure {
        refused(sqlstate).into()
    }

    #[test]
    fn an_operator_reads_what_is_about_the_server_and_nothing_of_rows() {
        for sqlstate in ["42501", "42P01", "28P01", "3D000", "53300", "57P03", "55000"] {
            let told = refused(sqlstate).to_string();
            assert_eq!(told, format!("postgresql refused with {sqlstate}: message; Hint."));
        }
        for sqlstate in ["22P02", "22021", "23505", "23514", "P0001", "XX000", "38000"] {
            assert_eq!(refused(sqlstate).to_string(), format!("postgresql refused with {sqlstate}"));
        }
    }

    #[test]
    fn each_sqlstate_has_its_code() {
        let cases = [
            ("P0002", Code::NotFound),
            ("22004", Code::BadUserInput),
            ("22023", Code::BadUserInput),
            ("22P02", Code::BadUserInput),
            ("22003", Code::BadUserInput),
            ("22007", Code::BadUserInput),
            ("42703", Code::BadUserInput),
            ("0A000", Code::BadUserInput),
            ("42501", Code::Forbidden),
            ("53400", Code::RateLimited),
            ("54000", Code::PayloadTooLarge),
            ("QC001", Code::ResyncRequired),
        ];
        for (sqlstate, code) in cases {
            let failure = failure(sqlstate);
            assert_eq!(failure.code, code, "{sqlstate}");
            assert_eq!(failure.sqlstate.as_deref(), Some(sqlstate));
            assert_eq!(
                (failure.detail.as_deref(), failure.hint.as_deref()),
                (Some("Detail."), Some("Hint."))
            );
        }
    }

    #[tokio::test]
    async fn what_an_unreachable_server_failed_with_is_told_without_a_password() {
        let tried = async |address: &str| {
            let connected = tokio_postgres::connect(address, tokio_postgres::NoTls).await;
            let error = DatabaseError::from(connected.err().unwrap()).to_string();
            assert!(!error.contains("hunter2"), "{error}");
            error
        };
        let refused = tried("postgresql://gateway:hunter2@127.0.0.1:1/db").await;
        assert!(refused.contains("Connection refused"), "{refused}");
        let unknown = tried("postgresql://gateway:hunter2@nowhere.invalid:1/db").await;
        assert!(unknown.contains("failed to lookup address"), "{unknown}");
    }

    #[test]
    fn a_session_that_took_too_long_is_told_from_a_server_that_is_away() {
        for (sqlstate, is_timeout) in
            [("25P03", true), ("25P04", true), ("57P05", true), ("57P01", false), ("25006", false)]
        {
            let error = refused(sqlstate);
            assert!(error.is_transient() && error.is_session_timeout() == is_timeout, "{sqlstate}");
        }
    }

    #[test]
    fn our_own_faults_are_masked() {
        for sqlstate in ["XX000", "42883", "42P01", "25001", "25P02"] {
            let failure = failure(sqlstate);
            assert_eq!(failure, Failure::new(Code::Internal, "internal error"), "{sqlstate}");
        }
        for sqlstate in ["08006", "25006", "25P03", "25P04", "57P05", "57P01", "53300", "40001", "57014"] {
            let failure = failure(sqlstate);
            assert_eq!((failure.code, failure.detail), (Code::ServiceUnavailable, None), "{sqlstate}");
        }
        assert!(failure("25006").message.contains("takes no changes"));
        assert_eq!(failure("23514").detail, None);
        assert_eq!(Failure::from(DatabaseError::TimedOut).code, Code::ServiceUnavailable);
        assert_eq!(Failure::from(DatabaseError::Unexpected(String::new())).code, Code::Internal);
        assert_eq!(Failure::from(DatabaseError::TooLarge).code, Code::PayloadTooLarge);
    }
}

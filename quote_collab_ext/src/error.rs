//! Every error the library raises, with its SQLSTATE, DETAIL and HINT in one place.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

use crate::identity::token::Refusal;

/// What can go wrong at the border. Messages never carry quote contents.
#[derive(Debug)]
pub enum Error {
    /// A trigger function was called in another way than by its trigger.
    TriggerProtocol(&'static str),
    /// A function of an aggregate was called in another way than by its aggregate.
    OutsideAggregate(&'static str),
    /// The trigger's arguments cannot be read, or a required one is absent.
    TriggerArgument(&'static str),
    /// A column that plays a role is gone: it was renamed or dropped after attach.
    MissingColumn { role: String, column: String },
    /// A column that plays a role has a type it cannot have.
    WrongType { role: &'static str },
    /// The audit log that the trigger writes to is gone, or its sequence.
    MissingLog(String),
    /// A value that must be a UUID is not one.
    NotUuid { setting: &'static str },
    /// A setting that no function of the extension sets.
    ForeignSetting { name: String },
    /// The version counter of a row is at its end.
    VersionExhausted,
    /// A row or a value does not fit into a jsonb.
    TooLarge,
    /// There is no memory for what is to be recorded.
    OutOfMemory,
    /// A token that is not good here and now.
    TokenRefused(Refusal),
    /// The tenant must be verified, and this process does not keep ordinary roles from setting it.
    NotGuarded,
    /// A prepared query was not asked for as rows of known columns, or without its text or its parameters.
    PreparedCall,
    /// PostgreSQL's server programming interface refused a step, with a code of its own.
    Spi(&'static str, i32),
}

impl Error {
    /// Raises the error in PostgreSQL; never returns.
    pub fn raise(&self) -> ! {
        self.report().report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }

    fn report(&self) -> ErrorReport {
        let (code, message, detail, hint) = self.parts();
        ErrorReport::new(code, message, "quote_collab").set_detail(detail).set_hint(hint)
    }

    /// SQLSTATE, message, DETAIL and HINT.
    fn parts(&self) -> (PgSqlErrorCode, String, String, &'static str) {
        const ATTACH: &str = "Run attach_quote_collaboration() again as a superuser.";
        match self {
            Self::TriggerProtocol(name) => (
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                format!("{name}: must be called as its trigger"),
                "A function of a trigger reads what only its trigger gives it.".to_owned(),
                "The triggers are created by attach_quote_collaboration().",
            ),
            Self::OutsideAggregate(name) => (
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("{name}: must be called by its aggregate"),
                "It keeps its state where an aggregate says.".to_owned(),
                "Call the aggregate of this name.",
            ),
            Self::TriggerArgument(name) => (
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                "the trigger's arguments are incomplete".to_owned(),
                format!("There is no usable argument \"{name}\"."),
                ATTACH,
            ),
            Self::MissingColumn { role, column } => (
                PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
                format!("column \"{column}\" is gone"),
                format!("It played the role \"{role}\" when the table was attached."),
                ATTACH,
            ),
            Self::WrongType { role } => (
                PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
                format!("the column for the role \"{role}\" has the wrong type"),
                "Keys are of type uuid, versions smallint, integer or bigint.".to_owned(),
                "Change the type back, or detach quote collaboration from the table.",
            ),
            Self::MissingLog(log) => (
                PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
                format!("relation {log} of the audit log is gone"),
                "What is written to an attached table is recorded there, or not written.".to_owned(),
                "Run attach_quote_collaboration() again as a superuser. Where the schema of the extension was renamed, rename it back first.",
            ),
            Self::NotUuid { setting } => (
                PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
                format!("{setting} is not a uuid"),
                "Who changes a row, and for which tenant, is named by a uuid.".to_owned(),
                "Set it to a uuid, or to an empty string for none.",
            ),
            Self::ForeignSetting { name } => (
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("quote collaboration does not set \"{name}\""),
                "Its functions set for a transaction what they need themselves, and nothing else.".to_owned(),
                "Set it with SET LOCAL or set_config().",
            ),
            Self::VersionExhausted => (
                PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
                "the version counter is exhausted".to_owned(),
                "The row has the highest version that its column can hold.".to_owned(),
                "Have the column hold more, as integer or bigint, and attach again.",
            ),
            Self::TooLarge => (
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                "the row is too large for its history".to_owned(),
                "A jsonb value holds at most 255 MiB.".to_owned(),
                "Keep such values in columns that are ignored, or outside of the row.",
            ),
            Self::OutOfMemory => (
                PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
                "out of memory".to_owned(),
                "What the statement changed does not fit into memory together with its history.".to_owned(),
                "Change fewer or smaller values at once, or give the server more memory.",
            ),
            Self::TokenRefused(refusal) => (
                PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
                "the token is refused".to_owned(),
                refusal.detail().to_owned(),
                "Log in again, and pass the token that is signed then.",
            ),
            Self::NotGuarded => (
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "tokens are not verified in this process".to_owned(),
                "It does not know, or not yet, how the server is configured to verify them.".to_owned(),
                "Preload the library, restart, and set nothing that begins with quote_collab. in the session.",
            ),
            Self::PreparedCall => (
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                "a prepared query needs its text, a row of parameters and a list of columns".to_owned(),
                "One of them is missing or null.".to_owned(),
                "Call it as from quote_prepared_rows('select ... $1', row(1)) r (a integer, ...).",
            ),
            Self::Spi(step, code) => (
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!("{step} failed with code {code}"),
                "The code is one of PostgreSQL's server programming interface.".to_owned(),
                "Run select * from quote_collab_doctor() as a superuser.",
            ),
        }
    }
}

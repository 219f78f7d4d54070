//! Which columns of a table play which role, as attach wrote it down in the trigger's arguments.

use pgrx::pg_sys;
use quote_collab_core::arguments::Arguments;
use quote_collab_core::change::Entity;
use quote_collab_core::jsonb::{self, Value};
use quote_collab_core::naming::{camel_case, spelling};
use quote_collab_core::payload::{NOTES, SHOWN_TOTALS, STATUS};

use super::plan::Column;
use crate::error::Error;

/// The columns that play a role; attribute numbers count from 1.
pub struct Roles {
    pub id: i16,
    pub tenant: i16,
    pub quote: Option<i16>,
    pub version: i16,
    pub updated_at: Option<i16>,
    pub updated_by: Option<i16>,
    /// Whether `updated_by` is ours to stamp: attach added it. The ERP's own may point to users we do not know of.
    pub stamps_user: bool,
    pub created_by: Option<i16>,
    pub line_number: Option<i16>,
    /// Columns that make up the totals of a header, by role, in the order in which jsonb keeps the names of those.
    pub totals: Vec<(&'static str, i16)>,
    /// Columns whose name does not say which part of an event they are: the role that they play, or none where another column plays the
    /// one that they are called after.
    pub renamed: Told,
    /// Columns that are told as they are named: another has their name in camelCase.
    pub named: Told,
}

/// What readers of a change are told of some columns, by name, in the order in which jsonb keeps the names.
pub struct Told(Vec<(String, Option<&'static str>)>);

/// What events tell apart: the parts of a header that have names of their own there. Of a column that plays two of these roles the first is told.
fn told_apart() -> impl Iterator<Item = &'static str> {
    [STATUS].into_iter().chain(NOTES).chain(totals())
}

/// In the order in which jsonb keeps them.
fn totals() -> [&'static str; 5] {
    let mut totals = SHOWN_TOTALS;
    totals.sort_by_key(|total| in_jsonb(total));
    totals
}

/// What jsonb orders names by.
fn in_jsonb(name: &str) -> (usize, &str) {
    (name.len(), name)
}

/// What plays a role is looked for among these columns.
struct Search<'a> {
    arguments: &'a Arguments,
    columns: &'a [Column],
}

impl Roles {
    /// The roles of a header or of lines. The table may have been altered since attach: a required role without a column, or with one
    /// of a type it cannot have, is refused; any other is played by nobody then.
    pub fn of(entity: Entity, arguments: &Arguments, columns: &[Column]) -> Result<Self, Error> {
        let search = Search { arguments, columns };
        let total = |role| Some((role, search.attnum(role)?));
        Ok(Self {
            id: search.key("id")?,
            tenant: search.key("tenant")?,
            quote: (entity == Entity::QuoteLine).then(|| search.key("quote")).transpose()?,
            version: search.typed("version", &[pg_sys::INT2OID, pg_sys::INT4OID, pg_sys::INT8OID])?,
            updated_at: search.attnum("updated_at"),
            updated_by: search.user("updated_by"),
            stamps_user: arguments.one("stamp_user").is_some(),
            created_by: search.user("created_by"),
            line_number: search.attnum("line_number"),
            totals: totals().into_iter().filter_map(total).collect(),
            renamed: if entity == Entity::Quote { search.renamed() } else { Told(Vec::new()) },
            named: search.named(),
        })
    }
}

impl Told {
    fn of(columns: impl Iterator<Item = (String, Option<&'static str>)>) -> Self {
        let mut columns: Vec<_> = columns.collect();
        columns.sort_by(|(one, _), (other, _)| in_jsonb(one).cmp(&in_jsonb(other)));
        Self(columns)
    }

    /// What is told of these columns, as a stored jsonb object; empty when it is nothing.
    pub fn stored(&self, columns: &[&Column]) -> Vec<u8> {
        let word = |word: Option<&'static str>| word.map_or(Value::Null, |word| Value::Text(word.as_bytes()));
        let members: Vec<_> = self
            .0
            .iter()
            .filter(|(name, _)| columns.iter().any(|column| column.name == *name))
            .map(|(name, told)| (name.as_str(), word(*told)))
            .collect();
        let mut stored = Vec::new();
        if !members.is_empty() {
            jsonb::object(&mut stored, &members);
        }
        stored
    }
}

impl Search<'_> {
    /// The column of a role, as long as it is there.
    fn column(&self, role: &'static str) -> Option<&Column> {
        let name = self.arguments.one(role)?;
        self.columns.iter().find(|column| column.name == name)
    }

    fn attnum(&self, role: &'static str) -> Option<i16> {
        Some(self.column(role)?.attnum)
    }

    /// The column of a required role, of one of these types or a domain over them.
    fn typed(&self, role: &'static str, types: &[pg_sys::Oid]) -> Result<i16, Error> {
        let column = self.column(role).ok_or_else(|| self.missing(role))?;
        if types.contains(&column.base_type) { Ok(column.attnum) } else { Err(Error::WrongType { role }) }
    }

    fn missing(&self, role: &'static str) -> Error {
        let gone = |name: &str| Error::MissingColumn { role: role.to_owned(), column: name.to_owned() };
        self.arguments.one(role).map_or(Error::TriggerArgument(role), gone)
    }

    fn key(&self, role: &'static str) -> Result<i16, Error> {
        self.typed(role, &[pg_sys::UUIDOID])
    }

    fn named(&self) -> Told {
        let is_column = |name: &str| self.columns.iter().any(|other| other.name == name);
        let is_told_so = |column: &&Column| spelling(&column.name, is_column) != camel_case(&column.name);
        Told::of(self.columns.iter().filter(is_told_so).map(|column| (column.name.clone(), None)))
    }

    fn renamed(&self) -> Told {
        let role_of = |name: &str| told_apart().find(|role| self.arguments.one(role) == Some(name));
        let roles = self.columns.iter().map(|column| (column.name.clone(), role_of(&column.name)));
        Told::of(roles.filter(|(name, role)| match role {
            Some(role) => role != name,
            None => told_apart().any(|told| told == name) && self.arguments.one(name).is_some(),
        }))
    }

    /// A column that names a user; one of another type names nobody we know.
    fn user(&self, role: &'static str) -> Option<i16> {
        Some(self.column(role).filter(|column| column.base_type == pg_sys::UUIDOID)?.attnum)
    }
}

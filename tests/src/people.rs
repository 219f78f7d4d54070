//! People of the sample ERP, with the ids that `tests/sample` gives them.

use uuid::{Uuid, uuid};

/// A user of the ERP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// Id of the user.
    pub id: Uuid,
    /// Name of the user.
    pub name: &'static str,
    /// Mail address of the user.
    pub email: &'static str,
    /// Tenant of the user.
    pub tenant: Uuid,
}

/// The tenant of Alice and Bob.
pub const TENANT: Uuid = uuid!("a0000000-0000-4000-8000-000000000001");
/// The tenant of Carol.
pub const TENANT_OTHER: Uuid = uuid!("b0000000-0000-4000-8000-000000000002");

/// A user of the first tenant.
pub const ALICE: Person = Person {
    id: uuid!("a11ce000-0000-4000-8000-000000000001"),
    name: "alice",
    email: "alice.moreau@northlight.example",
    tenant: TENANT,
};
/// Another user of the first tenant.
pub const BOB: Person = Person {
    id: uuid!("b0b00000-0000-4000-8000-000000000002"),
    name: "bob",
    email: "bob.lindqvist@northlight.example",
    tenant: TENANT,
};
/// A user of the other tenant.
pub const CAROL: Person = Person {
    id: uuid!("ca401000-0000-4000-8000-000000000003"),
    name: "carol",
    email: "carol.whitfield@harborstreet.example",
    tenant: TENANT_OTHER,
};

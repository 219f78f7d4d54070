//! Rights that an update gives.

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::error::Error;

/// Runs a GRANT in a script of the extension as if it stood outside of it. What a script grants PostgreSQL notes as part of the release, so that
/// no dump tells of it, and the role would miss it in what is restored from one.
#[pg_extern(volatile, parallel_unsafe)]
fn grant_beside_quote_release(grant: &str) {
    let _outside = Outside::enter();
    if Spi::run(grant).is_err() {
        Error::Spi("granting a right", 0).raise();
    }
}

/// While it lives, no script of the extension runs, as far as PostgreSQL knows.
struct Outside {
    in_script: bool,
}

impl Outside {
    #[expect(unsafe_code, reason = "PostgreSQL's state of CREATE and ALTER EXTENSION")]
    fn enter() -> Self {
        // SAFETY: a variable of this backend, which has one thread.
        unsafe {
            let in_script = pg_sys::creating_extension;
            pg_sys::creating_extension = false;
            Self { in_script }
        }
    }
}

impl Drop for Outside {
    #[expect(unsafe_code, reason = "PostgreSQL's state of CREATE and ALTER EXTENSION")]
    fn drop(&mut self) {
        // SAFETY: as above. Where an ERROR ends the script, PostgreSQL sets it after this.
        unsafe { pg_sys::creating_extension = self.in_script }
    }
}

extension_sql!(
    r"
comment on function grant_beside_quote_release(text) is 'runs a GRANT in a script of the extension as if it stood outside of it';
revoke execute on function grant_beside_quote_release(text) from public;
",
    name = "release_right_comments",
    requires = [grant_beside_quote_release]
);

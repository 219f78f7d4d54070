//! The extension: guard, convert, call the core, convert back.
::pgrx::pg_module_magic!(name, version);

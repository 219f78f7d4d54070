//! Who acts, and for which tenant; and who vouches for that.

pub mod attribution;
mod authentication;
pub mod tenant;
pub mod token;

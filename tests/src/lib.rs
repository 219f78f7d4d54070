//! Real parts on free ports, stopped when dropped.

//! What a guest may ask of SQLite: everything about its own database, nothing about other files, nothing
//! that takes the promises of the host back (durability, waiting for locks).
//!
//! SQLite asks this while it prepares a statement (SQLite's documentation, "Compile-Time Authorization
//! Callbacks"), so a refused statement does nothing at all.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pragmas that read, or set what belongs to the database or the transaction alone.
const ALLOWED: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "defer_foreign_keys",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "optimize",
    "page_count",
    "pragma_list",
    "quick_check",
    "recursive_triggers",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
    "wal_checkpoint",
];
/// Pragmas that programs like to set and that are ours: they may be read, and setting them does nothing.
const OURS: &[&str] = &[
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "encoding",
    "journal_mode",
    "journal_size_limit",
    "mmap_size",
    "page_size",
    "schema_version",
    "synchronous",
    "temp_store",
    "wal_autocheckpoint",
];
/// Functions that load code or change how it is found.
const FUNCTIONS_DENIED: &[&str] = &["load_extension", "fts3_tokenizer"];

/// The answer to what a statement wants to do. `spoiled` is set where it changes the connection itself.
pub fn authorize(context: &AuthContext<'_>, spoiled: &Arc<AtomicBool>) -> Authorization {
    match context.action {
        // An empty name is a temporary database: VACUUM makes one for itself. VACUUM INTO names a file.
        AuthAction::Attach { filename: "" } => {
            spoiled.store(true, Ordering::Relaxed);
            Authorization::Allow
        }
        AuthAction::Attach { .. } | AuthAction::Unknown { .. } => Authorization::Deny,
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let name = pragma_name.to_ascii_lowercase();
            if ALLOWED.contains(&name.as_str()) {
                if pragma_value.is_some() {
                    spoiled.store(true, Ordering::Relaxed);
                }
                Authorization::Allow
            } else if OURS.contains(&name.as_str()) {
                if pragma_value.is_none() { Authorization::Allow } else { Authorization::Ignore }
            } else {
                Authorization::Deny
            }
        }
        AuthAction::Function { function_name }
            if FUNCTIONS_DENIED.iter().any(|denied| function_name.eq_ignore_ascii_case(denied)) =>
        {
            Authorization::Deny
        }
        AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempTrigger { .. }
        | AuthAction::CreateTempView { .. } => {
            spoiled.store(true, Ordering::Relaxed);
            Authorization::Allow
        }
        _ => Authorization::Allow,
    }
}

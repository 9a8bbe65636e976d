//! What `bindgen!` makes of the pinned WIT files: types and traits for each version.

pub use super::super::Connection;

/// `fermyon:spin` without a version.
pub mod unversioned {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-unversioned",
        inline: "
            package sampan:sql-unversioned;
            world imports {
                import fermyon:spin/sqlite;
                import fermyon:spin/rdbms-types;
                import fermyon:spin/postgres;
                import fermyon:spin/mysql;
            }
        ",
        world: "sampan:sql-unversioned/imports",
        imports: { default: async | trappable },
    });
}

/// `fermyon:spin@2.0.0`.
pub mod v2 {
    wasmtime::component::bindgen!({
        path: "../../wit/fermyon-spin-2.0.0",
        inline: "
            package sampan:sql-v2;
            world imports {
                import fermyon:spin/sqlite@2.0.0;
                import fermyon:spin/rdbms-types@2.0.0;
                import fermyon:spin/postgres@2.0.0;
                import fermyon:spin/mysql@2.0.0;
            }
        ",
        world: "sampan:sql-v2/imports",
        imports: { default: async | trappable },
        with: {
            "fermyon:spin/sqlite.connection": super::Connection,
            "fermyon:spin/postgres.connection": super::Connection,
            "fermyon:spin/mysql.connection": super::Connection,
        },
    });
}

/// `spin:sqlite@3.1.0`, which has all of 3.0.0.
pub mod sqlite3 {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-sqlite-3.1.0",
        inline: "package sampan:sql-sqlite3; world imports { import spin:sqlite/sqlite@3.1.0; }",
        world: "sampan:sql-sqlite3/imports",
        imports: { default: async | trappable },
        with: { "spin:sqlite/sqlite.connection": super::Connection },
    });
}

/// `spin:postgres@3.0.0`.
pub mod postgres3 {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-postgres-3.0.0",
        inline: "package sampan:sql-postgres3; world imports { import spin:postgres/postgres@3.0.0; }",
        world: "sampan:sql-postgres3/imports",
        imports: { default: async | trappable },
        with: { "spin:postgres/postgres.connection": super::Connection },
    });
}

/// `spin:postgres@4.2.0`, which has all of 4.0.0 and 4.1.0.
pub mod postgres4 {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-postgres-4.2.0",
        inline: "package sampan:sql-postgres4; world imports { import spin:postgres/postgres@4.2.0; }",
        world: "sampan:sql-postgres4/imports",
        imports: { default: async | trappable },
        with: {
            "spin:postgres/postgres.connection": super::Connection,
            "spin:postgres/postgres.connection-builder": super::super::spin_postgres_4::Builder,
        },
    });
}

/// `spin:mysql@3.0.0`.
pub mod mysql3 {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-mysql-3.0.0",
        inline: "package sampan:sql-mysql3; world imports { import spin:mysql/mysql@3.0.0; }",
        world: "sampan:sql-mysql3/imports",
        imports: { default: async | trappable },
        with: { "spin:mysql/mysql.connection": super::Connection },
    });
}

//! Which grants a guest may need, guessed from what it imports.
//!
//! Compilers import more than a program uses (every C program asks for its environment), so these are guesses;
//! what a guest really lacks, `--explain` says when it runs.

use super::{Grant, Item, Need};

/// How many imports a guess names.
const NAMED_IMPORTS: usize = 3;

/// One guess: any of these imports leads to it.
struct Rule {
    /// The flag of `sampan run`; where there is none, the key in a manifest.
    flag: &'static str,
    needs: Need,
    reason: &'static str,
    signs: &'static [Sign],
}

/// An import that tells something: the module or interface (without its version), and functions of it.
struct Sign {
    interfaces: &'static [&'static str],
    /// Endings of function names; none means that any import from there counts.
    functions: &'static [&'static str],
}

const PREVIEW_1: &[&str] = &["wasi_snapshot_preview1", "wasi_unstable"];

const RULES: &[Rule] = &[
    Rule {
        flag: "-v HOST:GUEST[:ro]",
        needs: Need::Files,
        reason: "opens files",
        signs: &[
            Sign {
                interfaces: PREVIEW_1,
                functions: &[
                    "path_open",
                    "path_filestat_get",
                    "path_create_directory",
                    "path_unlink_file",
                    "path_rename",
                    "path_readlink",
                    "path_remove_directory",
                    "path_symlink",
                    "path_link",
                    "fd_readdir",
                ],
            },
            Sign { interfaces: &["wasi:filesystem/types"], functions: &["-at", ".read-directory"] },
        ],
    },
    Rule {
        flag: "-e NAME=VALUE",
        needs: Need::Env,
        reason: "reads environment variables",
        signs: &[
            Sign { interfaces: PREVIEW_1, functions: &["environ_get"] },
            Sign { interfaces: &["wasi:cli/environment"], functions: &["get-environment"] },
        ],
    },
    Rule {
        flag: "-p HOST:GUEST",
        needs: Need::Ports,
        reason: "listens on a port",
        signs: &[
            Sign {
                interfaces: PREVIEW_1,
                functions: &["sock_accept", "sock_accept_v2", "sock_listen", "sock_listen_v2"],
            },
            Sign {
                interfaces: &["wasi:sockets/tcp", "wasi:sockets/types"],
                functions: &["tcp-socket.start-listen", "tcp-socket.listen"],
            },
        ],
    },
    Rule {
        flag: "--allow-tcp HOST:PORT",
        needs: Need::Tcp,
        reason: "opens TCP connections",
        signs: &[
            Sign { interfaces: PREVIEW_1, functions: &["sock_connect", "sock_connect_v2"] },
            Sign {
                interfaces: &["wasi:sockets/tcp", "wasi:sockets/types"],
                functions: &["tcp-socket.start-connect", "tcp-socket.connect"],
            },
        ],
    },
    Rule {
        flag: "--allow-udp HOST:PORT",
        needs: Need::Udp,
        reason: "sends UDP datagrams",
        signs: &[
            Sign { interfaces: PREVIEW_1, functions: &["sock_send_to", "sock_send_to_v2"] },
            Sign {
                interfaces: &["wasi:sockets/udp", "wasi:sockets/types"],
                functions: &["outgoing-datagram-stream.send", "udp-socket.send"],
            },
        ],
    },
    Rule {
        flag: "--allow-http ORIGIN",
        needs: Need::Http,
        reason: "sends HTTP requests",
        signs: &[
            Sign { interfaces: &["wasi:http/outgoing-handler"], functions: &["handle"] },
            Sign { interfaces: &["wasi:http/client"], functions: &["send"] },
            Sign {
                interfaces: &["wasi_experimental_http", "fermyon:spin/http", "wasi-outbound-http"],
                functions: &[],
            },
        ],
    },
    Rule {
        flag: "grant.keyvalue",
        needs: Need::Keyvalue,
        reason: "keeps keys and values",
        signs: &[Sign {
            interfaces: &[
                "wasi:keyvalue/store",
                "wasi:keyvalue/batch",
                "wasi:keyvalue/atomics",
                "spin:key-value/key-value",
                "fermyon:spin/key-value",
            ],
            functions: &[],
        }],
    },
    Rule {
        flag: "grant.messaging",
        needs: Need::Messaging,
        reason: "publishes messages",
        signs: &[
            // Whoever takes messages imports the types too: what publishes connects first.
            Sign { interfaces: &["wasi:messaging/types"], functions: &["client.connect"] },
            Sign { interfaces: &["wasi:messaging/producer"], functions: &["send"] },
            Sign { interfaces: &["wasi:messaging/request-reply"], functions: &["request"] },
        ],
    },
    Rule {
        flag: "grant.sql",
        needs: Need::Sql,
        reason: "uses a database of SQLite",
        signs: &[Sign { interfaces: &["spin:sqlite/sqlite", "fermyon:spin/sqlite"], functions: &[] }],
    },
    Rule {
        flag: "grant.services postgres://HOST",
        needs: Need::Postgres,
        reason: "connects to PostgreSQL",
        signs: &[Sign { interfaces: &["spin:postgres/postgres", "fermyon:spin/postgres"], functions: &[] }],
    },
    Rule {
        flag: "grant.services mysql://HOST",
        needs: Need::Mysql,
        reason: "connects to MySQL",
        signs: &[Sign { interfaces: &["spin:mysql/mysql", "fermyon:spin/mysql"], functions: &[] }],
    },
    Rule {
        flag: "grant.services redis://HOST",
        needs: Need::Redis,
        reason: "connects to Redis",
        signs: &[Sign { interfaces: &["spin:redis/redis", "fermyon:spin/redis"], functions: &[] }],
    },
    Rule {
        flag: "grant.services mqtt://HOST",
        needs: Need::Mqtt,
        reason: "publishes by MQTT",
        signs: &[Sign { interfaces: &["spin:mqtt/mqtt", "fermyon:spin/mqtt"], functions: &[] }],
    },
    Rule {
        flag: "grant.variables",
        needs: Need::Variables,
        reason: "asks for variables of the configuration",
        signs: &[Sign {
            interfaces: &[
                "wasi:config/store",
                "wasi:config/runtime",
                "spin:variables/variables",
                "fermyon:spin/variables",
                "fermyon:spin/config",
            ],
            functions: &[],
        }],
    },
];

/// The guesses: first in the order in which `sampan run --help` has the flags, then what only apps have.
pub(super) fn guess(imports: &[Item]) -> Vec<Grant> {
    let mut grants = Vec::new();
    for rule in RULES {
        let met = rule.signs.iter().flat_map(|sign| imports.iter().flat_map(|import| sign.met_by(import)));
        let mut names: Vec<String> = Vec::new();
        for name in met {
            if names.len() < NAMED_IMPORTS && !names.contains(&name) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            grants.push(Grant { flag: rule.flag, needs: rule.needs, reason: rule.reason, imports: names });
        }
    }
    grants
}

impl Sign {
    /// The names that speak for it: functions where they are known, else the interface.
    fn met_by(&self, import: &Item) -> Vec<String> {
        let interface = import.name.split('@').next().unwrap_or_default();
        if !self.interfaces.contains(&interface) {
            return Vec::new();
        }
        if self.functions.is_empty() || import.items.is_empty() {
            // What holds types alone, or the ends of resources, is not called.
            let called = import.items.is_empty() || import.items.iter().any(|item| item.kind == "func");
            return if called { vec![interface.to_owned()] } else { Vec::new() };
        }
        let counts = |item: &&Item| match interface.contains(':') {
            // Names of preview 1 are whole: `sock_connect` is not `x_sock_connect`.
            false => self.functions.contains(&item.name.as_str()),
            // Also of a module that imports interfaces in the component ABI.
            true => self.functions.iter().any(|function| item.name.ends_with(function)),
        };
        import.items.iter().filter(counts).map(|item| super::short_function(&item.name).to_owned()).collect()
    }
}

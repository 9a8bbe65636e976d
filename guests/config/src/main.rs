//! Variables by each interface that waits. Each argument is INTERFACE:NAME and prints a line; INTERFACE:* asks
//! for all, where that can be. Interfaces: draft, rc1 (wasi:config), v1, v2 (Spin).

mod of_draft {
    wit_bindgen::generate!({
        path: "../../wit/wasi-config-0.2.0-draft-2024-09-27",
        world: "wasi:config/imports",
        generate_all,
    });
}

mod of_rc1 {
    wit_bindgen::generate!({
        path: "../../wit/wasi-config-0.2.0-rc.1",
        world: "wasi:config/imports",
        generate_all,
    });
}

mod of_v1 {
    wit_bindgen::generate!({
        path: "../../wit/spin-unversioned",
        inline: "package sampan:guest; world v1 { import fermyon:spin/config; }",
        generate_all,
    });
}

mod of_v2 {
    wit_bindgen::generate!({
        path: "../../wit/fermyon-spin-2.0.0",
        inline: "package sampan:guest; world v2 { import fermyon:spin/variables@2.0.0; }",
        generate_all,
    });
}

fn main() {
    for question in std::env::args().skip(1) {
        let (interface, name) = question.split_once(':').expect("INTERFACE:NAME");
        match (interface, name) {
            ("draft", "*") => println!("{:?}", of_draft::wasi::config::store::get_all()),
            ("draft", name) => println!("{:?}", of_draft::wasi::config::store::get(name)),
            ("rc1", "*") => println!("{:?}", of_rc1::wasi::config::store::get_all()),
            ("rc1", name) => println!("{:?}", of_rc1::wasi::config::store::get(name)),
            ("v1", name) => println!("{:?}", of_v1::fermyon::spin::config::get_config(name)),
            ("v2", name) => println!("{:?}", of_v2::fermyon::spin::variables::get(name)),
            _ => panic!("no such interface: {interface}"),
        }
    }
}

fn main() {
    let p = std::env::args().nth(1).unwrap();
    let env = |n: &str| std::env::var(n).ok();
    match sampan_app::read_manifest(p.as_ref(), &sampan_app::Surroundings::new(&env)) {
        Ok((app, w)) => println!("{}{app:#?}", sampan_app::render(&w, false)),
        Err(e) => println!("{}", sampan_app::render(&e, false)),
    }
}

//! A component without a command: exports functions over every kind of WIT type.

use exports::sampan::invoke::shapes::{self, Colour, Mode, Point, Shape};

wit_bindgen::generate!({ world: "invoke", path: "wit" });

struct Component;

impl Guest for Component {
    fn greet(name: String) -> String {
        format!("hello {name}")
    }

    fn sum(numbers: Vec<i32>) -> i64 {
        numbers.into_iter().map(i64::from).sum()
    }

    fn first(words: Vec<String>) -> Option<String> {
        words.into_iter().next()
    }

    fn divide(a: i32, b: i32) -> Result<i32, String> {
        a.checked_div(b).ok_or_else(|| format!("{a} / {b} has no result"))
    }

    fn swap((number, letter): (u8, char)) -> (char, u8) {
        (letter, number)
    }

    fn not(value: bool) -> bool {
        !value
    }

    fn nothing() {}
}

impl shapes::Guest for Component {
    fn area(shape: Shape) -> f64 {
        match shape {
            Shape::Dot => 0.0,
            Shape::Circle(radius) => std::f64::consts::PI * radius * radius,
            Shape::Polygon(points) => polygon_area(&points),
        }
    }

    fn mirror(point: Point) -> Point {
        Point { x: -point.x, y: -point.y }
    }

    fn next(colour: Colour) -> Colour {
        match colour {
            Colour::Red => Colour::Green,
            Colour::Green => Colour::Blue,
            Colour::Blue => Colour::Red,
        }
    }

    fn invert(mode: Mode) -> Mode {
        mode.complement()
    }
}

fn polygon_area(points: &[Point]) -> f64 {
    let next = points.iter().cycle().skip(1);
    let doubled: f64 = points.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum();
    doubled.abs() / 2.0
}

export!(Component);

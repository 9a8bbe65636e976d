//! Dapr's API of `sampan up`, as Dapr's clients meet it: by plain HTTP, and by the clients that Dapr publishes.

mod building_blocks;
mod common;
mod invocation;
mod javascript;
mod operating;
mod publishing;
mod python;
mod rust;
mod shared;
mod site;
mod state;
mod table;

use site::{Site, Up, component};
use table::{Row, check};

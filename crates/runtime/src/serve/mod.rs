//! Serving: many guests in one process, each bounded, none in another's way.
//!
//! [`Machine`] is what they share, a [`Unit`] is one component, [`load`] makes handlers of an app. What a request
//! does with a unit is in [`crate::triggers`].

mod budget;
mod ended;
mod gate;
mod habit;
mod load;
mod machine;
mod output;
mod plan;
mod slice;
mod ticker;
mod unit;

pub use budget::{Allowance, Budget, BudgetExceeded};
pub use ended::{Ended, failure_response};
pub use gate::{Place, Refused};
pub use habit::Habit;
pub use load::{LoadFailure, Progress, Step, enter, load, load_with};
pub use machine::{CODE_IDLE, Machine, Setup};
pub use output::{Log, Output, Target, to_stderr};
pub use plan::Plan;
pub use slice::{Bounded, TimeLimits, apart, begin_call, interruptible};
pub use unit::{Ready, Unit};

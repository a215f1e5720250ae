//! The one activity: tell somebody something.

use serde::{Deserialize, Serialize};
use temporalio_macros::activities;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

/// Tells people things; here, on standard output.
pub struct Notifications;

/// What is to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// Whom.
    pub to: String,
    /// What.
    pub text: String,
}

/// That it was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Of the text.
    pub bytes: usize,
}

#[activities]
impl Notifications {
    /// Tells it.
    #[activity(name = "Notify")]
    pub async fn notify(_ctx: ActivityContext, notice: Notice) -> Result<Receipt, ActivityError> {
        if notice.to.is_empty() {
            let why = "a notice needs somebody to go to";
            return Err(ActivityError::application(ApplicationFailure::non_retryable(why)));
        }
        println!("to {}: {}", notice.to, notice.text);
        Ok(Receipt { bytes: notice.text.len() })
    }
}

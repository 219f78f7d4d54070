//! Work that goes on whether or not somebody looks at it, and ends with whoever wants it.
//!
//! A turn at the database and a connection are held by whoever runs a statement. While a socket's client takes nothing, nobody looks
//! at what was asked for it: a statement that waited for a look would keep both from everybody.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

use crate::failure::{Code, Failure};

/// Does this apart from the caller: its result, which waits in memory for a look. Dropping this ends it where it is.
///
/// # Errors
///
/// When the work fails.
pub async fn errand<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let done = AbortOnDropHandle::new(tokio::spawn(work)).await;
    done.unwrap_or_else(|_| Err(Failure::new(Code::Internal, "internal error")))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_done_without_a_look_and_ends_with_whoever_wants_it() {
        let (told, mut tells) = oneshot::channel();
        let mut work = Box::pin(errand(async { told.send(()).map_err(|()| Failure::resync()) }));
        assert!((&mut work).now_or_never().is_none());
        assert!((&mut tells).await.is_ok());
        assert!(work.await.is_ok());

        let (held, ended) = oneshot::channel::<()>();
        let mut work = Box::pin(errand(async {
            let _held = held;
            pending::<Result<(), Failure>>().await
        }));
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        assert!(ended.await.is_err());
    }
}

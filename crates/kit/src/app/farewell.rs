//! What the caller hears on a connection too many: an answer in HTTP/1.1, for whoever speaks that in plain text, and the end. So many are
//! said goodbye to at once; the others are just closed.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::task;

const AT_ONCE: usize = 64;
/// A connection that is closed with unread bytes is reset, and the answer lost: what the caller sends is read for so long, and so much.
const WITHIN: Duration = Duration::from_secs(1);
const UNREAD_BYTES: u64 = 64 * 1024;
const BODY: &str = r#"{"code":14,"message":"too many connections are open","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"OVERLOADED","domain":"stampede"}]}"#;

static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

/// Answers and closes, in the background.
pub(super) fn say(stream: TcpStream) {
    let Ok(slot) = SLOTS.clone().try_acquire_owned() else { return };
    task::spawn("farewell", async move {
        // Who is slower, or gone, is closed without.
        tokio::time::timeout(WITHIN, answer(stream)).await.ok();
        drop(slot);
    });
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(UNREAD_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

//! What a caller of HTTP/1.1 hears when its connection ends before there is a request to answer: why, in one answer, and the end. So many
//! are said goodbye to at once; the others are just closed.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::task;

const AT_ONCE: usize = 64;
/// A connection that is closed with unread bytes is reset, and the answer lost: what the caller sends is read for so long, and so much.
const WITHIN: Duration = Duration::from_secs(1);
const UNREAD_BYTES: u64 = 64 * 1024;

static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

/// Why a connection ends.
#[derive(Debug, Clone, Copy)]
struct Farewell {
    status: &'static str,
    code: u8,
    reason: &'static str,
    message: &'static str,
    headers: &'static str,
}

const TOO_MANY: Farewell = Farewell {
    status: "503 Service Unavailable",
    code: 14,
    reason: "OVERLOADED",
    message: "too many connections are open",
    headers: "retry-after: 1\r\n",
};
const TOO_SLOW: Farewell = Farewell {
    status: "408 Request Timeout",
    code: 4,
    reason: "DEADLINE_EXCEEDED",
    message: "the headers took too long to arrive",
    headers: "",
};

/// To one connection more than there may be.
pub(super) fn too_many(stream: TcpStream) {
    say(stream, TOO_MANY);
}

/// To a request whose headers do not arrive.
pub(super) fn too_slow<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    say(stream, TOO_SLOW);
}

/// Answers and closes, in the background.
fn say<S>(stream: S, farewell: Farewell)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Ok(slot) = SLOTS.clone().try_acquire_owned() else { return };
    task::spawn("farewell", async move {
        // Who is slower, or gone, is closed without.
        tokio::time::timeout(WITHIN, answer(stream, farewell)).await.ok();
        drop(slot);
    });
}

async fn answer<S>(mut stream: S, farewell: Farewell) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Farewell { status, code, reason, message, headers } = farewell;
    let body = serde_json::json!({
        "code": code,
        "message": message,
        "details": [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "stampede" }],
    })
    .to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(UNREAD_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

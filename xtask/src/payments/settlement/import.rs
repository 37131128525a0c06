//! `payments settlement import`: one file, in as many pieces as it needs. An import that was cut off goes on when the same command comes
//! again with the same `--until`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stampede_kit::clock::Clock;
use stampede_proto::payment::v1::{ImportSettlementRequest, ImportSettlementResponse, SettlementFileState};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client;
use crate::stack::Stack;
use crate::staff;
use crate::terminal::say;
use crate::up;

/// Of a piece; the contract takes no larger ones.
const PIECE_BYTES: usize = 256 * 1024;
/// The contract's: the file is matched meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How often a file that is still being matched is asked about, and how many times.
const ASK_EVERY: Duration = Duration::from_secs(2);
const ASKS: usize = 300;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose file it is.
    #[arg(long, default_value = "simulator")]
    provider: String,
    /// The file; without it the provider simulator is asked for one. Its batch is the file's name without its extension.
    #[arg(long, requires = "until")]
    file: Option<PathBuf>,
    /// Where its period begins: the `--until` of the import before; what the simulator tells from before that would be told twice.
    #[arg(long, value_parser = instant, required_unless_present = "file")]
    since: Option<OffsetDateTime>,
    /// Everything the provider did before is in this file or in an earlier one; now unless told, of the simulator.
    #[arg(long, value_parser = instant)]
    until: Option<OffsetDateTime>,
    /// Who imports; kept with the file.
    #[arg(long, default_value = "reviewer")]
    user: String,
    /// Print one JSON object instead of a line.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: &Args) -> anyhow::Result<()> {
    let stack = up::running()?;
    let until = args.until.unwrap_or_else(|| Clock::system().now());
    // The simulator counts in milliseconds.
    let until = until.replace_nanosecond(until.nanosecond() / 1_000_000 * 1_000_000)?;
    let (file_id, text) = match &args.file {
        Some(path) => {
            let name = path.file_stem().and_then(|name| name.to_str()).context("the file has no name")?;
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            (name.to_owned(), text)
        }
        None => fetch(&stack, args, until).await?,
    };
    let answer = import(&stack, args, &file_id, &text, until).await?;
    let (state, until) = (answer.state().as_str_name(), until.format(&Rfc3339)?);
    say(if args.json {
        json!({ "fileId": file_id, "state": state, "lines": answer.lines, "matched": answer.matched,
                "differences": answer.differences, "until": until })
        .to_string()
    } else {
        format!(
            "{file_id}: {} lines, {} matched, {} differences; the next one is --since {until}",
            answer.lines, answer.matched, answer.differences
        )
    });
    Ok(())
}

/// What the simulator says it has settled, and what it calls that.
async fn fetch(stack: &Stack, args: &Args, until: OffsetDateTime) -> anyhow::Result<(String, String)> {
    let process = match args.provider.as_str() {
        "simulator" => "psp-simulator",
        other => anyhow::bail!("{other} is no simulator: give its file with --file"),
    };
    let since = args.since.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let milliseconds = |at: OffsetDateTime| at.unix_timestamp_nanos() / 1_000_000;
    let file_id = format!("{}_{:x}_{:x}", args.provider, milliseconds(since), milliseconds(until));
    let url = format!(
        "http://{}/v1/settlement?batch={file_id}&from_ms={}&until_ms={}",
        stack.address(process)?,
        milliseconds(since),
        milliseconds(until)
    );
    let response =
        reqwest::Client::builder().no_proxy().build()?.get(url).send().await?.error_for_status()?;
    Ok((file_id, response.text().await?))
}

async fn import(
    stack: &Stack,
    args: &Args,
    file_id: &str,
    text: &str,
    until: OffsetDateTime,
) -> anyhow::Result<ImportSettlementResponse> {
    let pieces = pieces(text);
    let mut client = client(stack)?;
    let message = |chunk: usize, content: &str| {
        anyhow::Ok(ImportSettlementRequest {
            provider: args.provider.clone(),
            file_id: file_id.to_owned(),
            digest: Sha256::digest(text).to_vec(),
            chunks: u32::try_from(pieces.len())?,
            chunk: u32::try_from(chunk)?,
            period_start: args.since.map(stampede_proto::timestamp),
            period_end: Some(stampede_proto::timestamp(until)),
            content: content.to_owned(),
        })
    };
    let mut last = None;
    for (chunk, content) in pieces.iter().enumerate() {
        let request = staff::request(stack, &args.user, message(chunk, content)?, ANSWER_WITHIN)?;
        let answer = client.import_settlement(request).await;
        last = Some(answer.map_err(|status| refused(&status))?.into_inner());
    }
    for _ in 0..ASKS {
        let Some(answer) = &last else { break };
        if answer.state() != SettlementFileState::Matching {
            break;
        }
        tokio::time::sleep(ASK_EVERY).await;
        let content = pieces.first().context("the file is empty")?;
        let request = staff::request(stack, &args.user, message(0, content)?, ANSWER_WITHIN)?;
        last = Some(client.import_settlement(request).await.map_err(|status| refused(&status))?.into_inner());
    }
    last.context("the file is empty")
}

/// Where and why, when it says so.
fn refused(status: &tonic::Status) -> anyhow::Error {
    use tonic_types::StatusExt as _;
    let Some(info) = status.get_details_error_info() else {
        return anyhow::anyhow!("payment does not import it: {}", status.message());
    };
    let mut facts: Vec<String> =
        info.metadata.iter().map(|(name, value)| format!("{name} {value}")).collect();
    facts.sort_unstable();
    anyhow::anyhow!("payment does not import it: {} {} {}", info.reason, facts.join(", "), status.message())
}

/// Whole lines, as many as fit.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in text.split_inclusive('\n') {
        match pieces.last_mut() {
            Some(piece) if piece.is_empty() || piece.len() + line.len() <= PIECE_BYTES => {
                piece.push_str(line)
            }
            Some(_) | None => pieces.push(line.to_owned()),
        }
    }
    pieces
}

fn instant(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "must be as in 2026-11-30T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_together_the_file() {
        let text: String = (0..20_000).map(|line| format!("a line like many others, {line}\n")).collect();
        let pieces = pieces(&text);
        assert!(pieces.len() > 1);
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES && piece.ends_with('\n')));
        assert_eq!(pieces.concat(), text);
    }
}

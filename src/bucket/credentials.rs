//! Credentials as the AWS tools find them, in their order: environment, web identity, profile, SSO, process,
//! container, instance.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider,
    EnvCredentialProvider, IMDSv2CredentialProvider, ProcessCredentialProvider,
    ProfileCredentialProvider, SSOCredentialProvider,
};
use reqsign_core::{
    CommandExecute, CommandOutput, Context, Error, FileRead, HttpSend, OsEnv, ProvideCredential,
    ProvideCredentialDyn, Result, SigningCredential as _,
};
use ureq::Agent;
use ureq::http::{Request, Response};

use crate::fsx;

/// The longest file or answer of a credential source, in bytes.
const MAX_LENGTH: u64 = 1 << 20;
/// The limit for connecting and for an answer: an address that only machines of a cloud have must not hold up others.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs a future that this thread drives alone.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut poller = Poller::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut poller) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// What the providers use of the machine.
pub(super) fn machine() -> Context {
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .build();
    Context::new()
        .with_env(OsEnv)
        .with_file_read(Files)
        .with_http_send(Http(agent.into()))
        .with_command_execute(Commands)
}

/// The sources of credentials by name, the first that has some wins.
#[derive(Debug)]
pub(super) struct Chain(
    Vec<(
        &'static str,
        Arc<dyn ProvideCredentialDyn<Credential = Credential>>,
    )>,
);

impl Chain {
    pub(super) fn new() -> Self {
        Self(vec![
            ("environment", Arc::new(EnvCredentialProvider::new())),
            (
                "web identity",
                Arc::new(AssumeRoleWithWebIdentityCredentialProvider::new()),
            ),
            ("profile", Arc::new(ProfileCredentialProvider::new())),
            ("SSO", Arc::new(SSOCredentialProvider::new())),
            (
                "credential process",
                Arc::new(ProcessCredentialProvider::new()),
            ),
            ("container", Arc::new(ECSCredentialProvider::new())),
            ("instance", Arc::new(IMDSv2CredentialProvider::new())),
        ])
    }
}

impl ProvideCredential for Chain {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        let mut tried = Vec::new();
        for (name, source) in &self.0 {
            match source.provide_credential_dyn(context).await {
                Ok(Some(credential)) if credential.is_valid() => return Ok(Some(credential)),
                Ok(Some(_)) => tried.push(format!("{name}: expired")),
                Ok(None) => tried.push(format!("{name}: none")),
                Err(error) => tried.push(format!("{name}: {error}")),
            }
        }
        Err(Error::credential_invalid(format!(
            "no credentials found ({})",
            tried.join("; ")
        )))
    }
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        let read = fsx::read(Path::new(path), MAX_LENGTH);
        read.ok()
            .flatten()
            .ok_or_else(|| Error::unexpected(format!("cannot read `{path}`")))
    }
}

#[derive(Debug)]
struct Http(Agent);

impl HttpSend for Http {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let failed = |error: ureq::Error| Error::unexpected(format!("{host}: {error}"));
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, &body[..]));
        let (parts, mut body) = answer.map_err(failed)?.into_parts();
        let body = body.with_config().limit(MAX_LENGTH).read_to_vec();
        Ok(Response::from_parts(parts, body.map_err(failed)?.into()))
    }
}

#[derive(Debug)]
struct Commands;

impl CommandExecute for Commands {
    async fn command_execute<'a>(
        &'a self,
        program: &'a str,
        arguments: &'a [&'a str],
    ) -> Result<CommandOutput> {
        let output = Command::new(program).args(arguments).output();
        let output = output.map_err(|error| Error::unexpected(format!("`{program}`: {error}")))?;
        Ok(CommandOutput {
            status: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }
}

//! Calls against a server that answers what a test tells it: what is tried again, what is not, and what errors say.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flintwheel_client::{Client, Code, Error, Options, reason};
use flintwheel_proto::v1;
use flintwheel_proto::v1::admin_service_server::{AdminService, AdminServiceServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

type Answer = Result<v1::GetStatusResponse, Status>;

#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    keys: Arc<Mutex<Vec<Option<String>>>>,
}

#[tonic::async_trait]
impl AdminService for Scripted {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let key = request.metadata().get("authorization").and_then(|key| key.to_str().ok()).map(str::to_owned);
        self.keys.lock().expect("no panic").push(key);
        let answer = self.answers.lock().expect("no panic").pop_front();
        answer.unwrap_or_else(|| Err(Status::internal("the script has ended"))).map(Response::new)
    }
}

async fn serve(server: Scripted) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let service = AdminServiceServer::new(server);
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    address
}

async fn ask(answers: Vec<Answer>, options: Options) -> (Result<String, Error>, Scripted) {
    let server = Scripted { answers: Arc::new(Mutex::new(answers.into())), ..Default::default() };
    let address = serve(server.clone()).await;
    let client = Client::new(&[address.to_string()], options).expect("an address");
    (client.status().await.map(|status| status.cluster_id), server)
}

fn fine() -> Answer {
    let now = Some(prost_types::Timestamp::default());
    Ok(v1::GetStatusResponse { cluster_id: "7d2f".into(), now, ..Default::default() })
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let busy = Error::new(Code::ResourceExhausted, reason::BACK_PRESSURE, "full").retry_after(Duration::from_millis(5));
    let answers = vec![Err(Status::unavailable("starting")), Err(busy.into()), fine()];
    let (answer, server) = ask(answers, Options::default()).await;
    assert_eq!(answer, Ok("7d2f".to_owned()));
    assert_eq!(server.keys.lock().expect("no panic").len(), 3);
}

#[tokio::test]
async fn what_will_not_pass_is_told_at_once() {
    for (status, code, reason) in [
        (Status::invalid_argument("x"), Code::InvalidArgument, reason::INVALID_ARGUMENT),
        (Status::not_found("x"), Code::NotFound, reason::NOT_FOUND),
        (Status::resource_exhausted("x"), Code::ResourceExhausted, reason::INTERNAL),
        (Error::new(Code::Aborted, reason::VERSION_CONFLICT, "x").into(), Code::Aborted, reason::VERSION_CONFLICT),
    ] {
        let (answer, server) = ask(vec![Err(status), fine()], Options::default()).await;
        let error = answer.expect_err("told");
        assert_eq!((error.code, error.reason.as_str()), (code, reason));
        assert_eq!(server.keys.lock().expect("no panic").len(), 1);
    }
}

#[tokio::test]
async fn trying_again_ends_with_the_last_error() {
    let options = Options { retry_for: Duration::ZERO, ..Options::default() };
    let (answer, _) = ask(vec![Err(Status::unavailable("starting")), fine()], options).await;
    assert_eq!(answer.expect_err("told").message, "starting");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = unused.local_addr().expect("bound").to_string();
    drop(unused);
    let options = Options { retry_for: Duration::ZERO, ..Options::default() };
    let client = Client::new(std::slice::from_ref(&address), options).expect("an address");
    let error = client.status().await.expect_err("nobody there");
    assert_eq!(error.reason, reason::UNREACHABLE);
    assert!(error.message.starts_with(&format!("{address} can't be reached: ")), "{}", error.message);
    assert!(error.message.contains("refused"), "{}", error.message);
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_not_passed_off_as_one() {
    let (answer, _) = ask(vec![Ok(v1::GetStatusResponse::default())], Options::default()).await;
    let error = answer.expect_err("no time in it");
    assert_eq!(error.reason, reason::UNREADABLE_ANSWER);
    assert!(error.message.contains("now: is required"), "{}", error.message);
}

#[tokio::test]
async fn the_api_key_goes_with_each_call() {
    let options = Options { api_key: Some(flintwheel_client::ApiKey::new("k1")), ..Options::default() };
    let (_, server) = ask(vec![fine()], options).await;
    assert_eq!(*server.keys.lock().expect("no panic"), [Some("Bearer k1".to_owned())]);
}

//! The hub as a route of somebody else's HTTP server.

use super::handshake::{self, Refused, Upgrade};
use super::server::{WebSocketServerEventTarget, refusal};
use crate::adapter::engine::Reserved;
use crate::adapter::engine::framing::websocket;
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

const OLD_VERSION: Refused = Refused { status: 505, why: "WebSocket needs HTTP/1.1" };
const NO_UPGRADE: Refused = Refused { status: 501, why: "this server does not hand its connections over" };

impl WebSocketServerEventTarget {
    /// Answers a WebSocket request that came to a hyper or axum application, and takes the connection over: what the
    /// route's handler returns is this answer.
    ///
    /// The same is asked of it as of connections to [`serve`](Self::serve): method, version and key, the origin, a
    /// place among the connections; the answer to what is refused says why. The rest of the way into the hub, which
    /// begins when the answer was sent, ends with this target and may take
    /// [`handshake_timeout`](crate::hub::HubOptions::handshake_timeout). hyper serves such connections
    /// `with_upgrades`, as axum does by itself; HTTP/1.1 only. Small messages leave at once if the application sets
    /// `TCP_NODELAY` on what it accepts.
    ///
    /// ```
    /// use alkpubsub::WebSocketServerEventTarget;
    /// use axum::{Router, extract::Request, routing::any};
    /// use std::sync::Arc;
    ///
    /// fn with_events(app: Router, hub: Arc<WebSocketServerEventTarget>) -> Router {
    ///     app.route("/events", any(move |request: Request| async move { hub.upgrade(request) }))
    /// }
    /// ```
    pub fn upgrade<B>(&self, request: Request<B>) -> Response<String> {
        self.answer(request, None)
    }

    /// [`upgrade`](Self::upgrade) for a connection of which the application knows who it is. Find that out from the
    /// request itself, never from what is sent over the connection.
    pub fn upgrade_as<B>(&self, request: Request<B>, identity: &str) -> Response<String> {
        self.answer(request, Some(identity.into()))
    }

    fn answer<B>(&self, mut request: Request<B>, identity: Option<Arc<str>>) -> Response<String> {
        match self.grant(&request) {
            Ok((upgrade, place)) => {
                self.take_over(hyper::upgrade::on(&mut request), place, identity);
                granted(&upgrade)
            }
            Err(refused) => {
                tracing::debug!(status = refused.status, why = refused.why, "refused");
                refusing(refused)
            }
        }
    }

    fn grant<B>(&self, request: &Request<B>) -> Result<(Upgrade, Reserved), Refused> {
        if request.version() != Version::HTTP_11 {
            return Err(OLD_VERSION);
        }
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let upgrade = handshake::check(request.method().as_str(), headers, &self.origins)?;
        if request.extensions().get::<OnUpgrade>().is_none() {
            return Err(NO_UPGRADE);
        }
        Ok((upgrade, self.hub.reserve().map_err(refusal)?))
    }

    /// Waits, beside the caller, until the answer was sent.
    fn take_over(&self, upgrade: OnUpgrade, place: Reserved, identity: Option<Arc<str>>) {
        let within = self.handshake_timeout;
        let mut upgrades = self.upgrades.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended is forgotten here, so that the set is never larger than what is under way.
        while upgrades.try_join_next().is_some() {}
        upgrades.spawn(async move {
            tokio::select! {
                upgraded = timeout(within, upgrade) => match upgraded {
                    Ok(Ok(socket)) => {
                        if let Err(mut socket) = place.connect_upgraded(Box::new(TokioIo::new(socket)), identity) {
                            // The upgrade was granted before the hub began to shut down.
                            let close = websocket::close(Some(1001), "the hub shuts down");
                            let goodbye = async {
                                socket.write_all(&close).await?;
                                socket.shutdown().await
                            };
                            let _ = timeout(within, goodbye).await;
                        }
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "not handed over"),
                    Err(_) => tracing::debug!("not handed over in time"),
                },
                () = place.ended() => {}
            }
        });
    }
}

fn granted(upgrade: &Upgrade) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&upgrade.accept).expect("base64 is fit for a header");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = upgrade.subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    response
}

fn refusing(refused: Refused) -> Response<String> {
    let mut response = Response::new(format!("{}\n", refused.why));
    *response.status_mut() = StatusCode::from_u16(refused.status).expect("it is one of a few constants");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    for (name, value) in refused.headers() {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    if refused.status == 426 {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    response
}

import type { Law, Need } from "../law.js";
import { type Stage, staged } from "../stage.js";
import * as asked from "./asked.js";
import * as closing from "./closing.js";
import * as delivery from "./delivery.js";
import * as ends from "./ends.js";
import * as hubs from "./hubs.js";
import * as listeners from "./listeners.js";
import * as loss from "./loss.js";
import * as outlives from "./outlives.js";
import * as payloads from "./payloads.js";
import * as subscriptions from "./subscriptions.js";
import * as text from "./wire-text.js";

const law = (
  number: number,
  name: string,
  body: (stage: Stage) => Promise<void>,
  ...requires: readonly Need[]
): Law => ({ name, number, requires, run: staged(body) });

/** All laws, in the order of the contract. Most have the name of a law of the Rust suite, and its meaning. */
export const laws: readonly Law[] = [
  law(1, "delivers_once", delivery.deliversOnce),
  law(1, "delivers_once_exact_topic", delivery.deliversOnceExactTopic),
  law(1, "delivers_once_colons", delivery.deliversOnceColons),
  law(2, "many_listeners", delivery.manyListeners),
  law(2, "many_listeners_same", delivery.manyListenersSame),
  law(2, "many_listeners_handle_event", delivery.manyListenersHandleEvent),
  law(3, "removal", listeners.removal),
  law(3, "removal_during_dispatch", listeners.removalDuringDispatch),
  law(3, "removal_on_drop", listeners.removalOnDrop),
  law(3, "removal_once", listeners.removalOnce),
  law(3, "removal_signal", listeners.removalSignal),
  law(4, "reentrant", listeners.reentrant),
  law(4, "reentrant_nested", listeners.reentrantNested, "Echo", "Reference"),
  law(4, "reentrant_depth", listeners.reentrantDepth, "Echo", "Reference"),
  law(5, "isolation", listeners.isolation, "Reports"),
  law(5, "isolation_notices", asked.isolationNotices, "FarHub", "Reports"),
  law(6, "order", delivery.order),
  law(6, "order_across_topics", delivery.orderAcrossTopics, "ConnectionOrder"),
  law(6, "order_subscription", delivery.orderSubscription, "ConnectionOrder"),
  law(7, "round_trip", payloads.roundTrip),
  law(7, "round_trip_reference", payloads.roundTripReference, "Reference"),
  law(7, "round_trip_encode", payloads.roundTripEncode, "Json"),
  law(7, "round_trip_wire", text.roundTripWire, "Wire", "Json"),
  law(8, "echo", delivery.echo, "Echo"),
  law(9, "reserved", payloads.reserved),
  law(9, "reserved_wire", text.reservedWire, "Wire"),
  law(10, "refcount", asked.refcount, "FarHub"),
  law(11, "ready", subscriptions.ready, "Confirms"),
  law(11, "ready_first_next", subscriptions.readyFirstNext, "Echo"),
  law(11, "ready_waits", asked.readyWaits, "FarHub", "Confirms"),
  law(11, "ready_denied", asked.readyDenied, "FarHub", "Confirms"),
  law(11, "ready_unanswered", asked.readyUnanswered, "FarHub", "Confirms"),
  law(11, "ready_denied_publish", asked.readyDeniedPublish, "FarHub", "Confirms"),
  law(11, "ready_draining", asked.readyDraining, "FarHub", "Confirms", "PerConnection"),
  law(11, "ready_answers", hubs.readyAnswers, "FarSpoke"),
  law(11, "ready_ping", hubs.readyPing, "FarSpoke"),
  law(11, "ready_direct", hubs.readyDirect, "FarSpoke"),
  law(12, "bad_input", text.badInput, "Wire"),
  law(12, "bad_input_by_reason", text.badInputByReason, "Wire", "Near"),
  law(12, "bad_input_limit", text.badInputLimit, "Wire", "Near"),
  law(12, "bad_input_too_large", text.badInputTooLarge, "Wire", "Near"),
  law(13, "loss_is_seen", subscriptions.lossIsSeen),
  law(13, "loss_is_seen_far", loss.lossIsSeenFar, "FarHub"),
  law(13, "loss_is_seen_merged", loss.lossIsSeenMerged, "FarHub"),
  law(14, "connection_loss", ends.connectionLoss, "Cut", "PerConnection"),
  law(14, "connection_loss_waiters", closing.connectionLossWaiters, "Cut", "PerConnection", "FarHub"),
  law(14, "connection_loss_outlives", outlives.connectionLossOutlives, "Cut", "Outlives"),
  law(14, "connection_loss_ready", outlives.connectionLossReady, "Cut", "Outlives", "Stats"),
  law(14, "connection_loss_gap", outlives.connectionLossGap, "Cut", "Outlives", "FarHub"),
  law(14, "connection_loss_wanted", outlives.connectionLossWanted, "Cut", "Outlives", "FarHub"),
  law(14, "connection_loss_answers", outlives.connectionLossAnswers, "Cut", "Outlives", "FarHub"),
  law(14, "connection_loss_denied", outlives.connectionLossDenied, "Cut", "Outlives", "FarHub"),
  law(14, "connection_loss_draining", outlives.connectionLossDraining, "Cut", "Outlives", "FarHub"),
  law(14, "connection_loss_final", outlives.connectionLossFinal, "Cut", "HangUp", "Outlives", "FarHub"),
  law(14, "connection_loss_again", outlives.connectionLossAgain, "Cut", "HangUp", "Outlives", "FarHub"),
  law(15, "close", ends.closes, "Close"),
  law(15, "close_in_listener", ends.closeInListener, "Close"),
  law(15, "close_wire", closing.closeWire, "Wire", "Near", "Close"),
  law(15, "close_waiters", closing.closeWaiters, "FarHub", "Close"),
  law(15, "close_answered", closing.closeAnswered, "Wire", "HangUp"),
  law(15, "close_lent", closing.closeLent, "Lent", "Close"),
  law(16, "bounded", subscriptions.bounded),
  law(16, "bounded_outbound", loss.boundedOutbound, "Stall", "FarHub"),
  law(16, "bounded_control", loss.boundedControl, "Stall", "FarHub", "PerConnection"),
  law(16, "counted", loss.counted, "Stats", "Close", "Reports"),
  law(16, "counted_wire", loss.countedWire, "Wire", "Near", "Stats"),
  law(16, "bounded_slow_spoke", hubs.boundedSlowSpoke, "Stall", "FarSpoke"),
];

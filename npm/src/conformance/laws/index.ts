import type { Law, Need } from "../law.js";
import { type Stage, staged } from "../stage.js";
import * as delivery from "./delivery.js";
import * as ends from "./ends.js";
import * as listeners from "./listeners.js";
import * as payloads from "./payloads.js";
import * as subscriptions from "./subscriptions.js";

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
  law(4, "reentrant_nested", listeners.reentrantNested, "Reference"),
  law(4, "reentrant_depth", listeners.reentrantDepth, "Reference"),
  law(5, "isolation", listeners.isolation, "Reports"),
  law(6, "order", delivery.order),
  law(6, "order_across_topics", delivery.orderAcrossTopics, "ConnectionOrder"),
  law(6, "order_subscription", delivery.orderSubscription, "ConnectionOrder"),
  law(7, "round_trip", payloads.roundTrip),
  law(7, "round_trip_reference", payloads.roundTripReference, "Reference"),
  law(7, "round_trip_encode", payloads.roundTripEncode, "Json"),
  law(8, "echo", delivery.echo, "Echo"),
  law(9, "reserved", payloads.reserved),
  law(11, "ready", subscriptions.ready, "Confirms"),
  law(11, "ready_first_next", subscriptions.readyFirstNext, "Echo"),
  law(13, "loss_is_seen", subscriptions.lossIsSeen),
  law(14, "connection_loss", ends.connectionLoss, "Cut", "PerConnection"),
  law(15, "close", ends.closes, "Close"),
  law(15, "close_in_listener", ends.closeInListener, "Close"),
  law(16, "bounded", subscriptions.bounded),
];

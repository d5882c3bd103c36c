//! The laws, as data. One file for each family.

mod calls;
mod closing;
mod control;
mod delivery;
mod ends;
mod hubs;
mod listeners;
mod loss;
mod outlives;
mod queues;
mod subscriptions;
mod wire_text;

use super::{Law, Need};

/// The one list, from which both [`LAWS`] and the macro with a test for each law are made. `$d` is a dollar sign,
/// which a macro that writes a macro cannot write otherwise.
macro_rules! laws {
    ($d:tt $($number:literal $family:ident::$name:ident [$($need:ident)*])*) => {
        /// All laws, in the order of the contract.
        pub const LAWS: &[Law] = &[$(Law {
            name: stringify!($name),
            number: $number,
            requires: &[$(Need::$need),*],
            run: |fixture| Box::pin($family::$name(fixture)),
        }),*];

        /// One test for each law of the conformance suite, in a module of that name.
        ///
        /// The second argument is an expression that makes a [`Fixture`](crate::conformance::Fixture); it is
        /// evaluated for each test.
        #[macro_export]
        macro_rules! conformance_tests {
            ($d module:ident, $d fixture:expr $d(,)?) => {
                mod $d module {
                    #[allow(unused_imports)]
                    use super::*;
                    $(
                        #[test]
                        fn $name() {
                            $d crate::conformance::test(stringify!($name), $d fixture);
                        }
                    )*
                }
            };
        }
    };
}

laws! { $
    1 delivery::delivers_once []
    1 delivery::delivers_once_exact_topic []
    2 delivery::many_listeners []
    3 listeners::removal []
    3 listeners::removal_during_dispatch []
    3 listeners::removal_across_threads []
    3 calls::removal_while_running []
    3 listeners::removal_on_drop []
    4 listeners::reentrant []
    4 listeners::reentrant_nested [Echo Reference]
    4 calls::reentrant_depth [Echo Reference]
    5 listeners::isolation []
    5 calls::isolation_notices [FarHub]
    5 calls::isolation_drop []
    6 delivery::order []
    6 delivery::order_across_topics [ConnectionOrder]
    7 wire_text::round_trip [Text]
    7 wire_text::round_trip_reference [Reference]
    7 wire_text::round_trip_json_once [Reference]
    7 wire_text::round_trip_encode [Json]
    7 wire_text::round_trip_wire [Wire]
    8 delivery::echo [Echo]
    9 wire_text::reserved []
    9 wire_text::reserved_wire [Wire]
    10 subscriptions::refcount [FarHub]
    10 subscriptions::refcount_threads [FarHub]
    11 subscriptions::ready [Confirms]
    11 subscriptions::ready_waits [FarHub Confirms]
    11 subscriptions::ready_denied [FarHub Confirms]
    11 subscriptions::ready_unanswered [FarHub Confirms]
    11 control::ready_denied_publish [FarHub Confirms]
    11 control::ready_draining [FarHub Confirms PerConnection]
    11 hubs::ready_answers [FarSpoke]
    11 control::ready_ping [FarSpoke]
    11 control::ready_direct [FarSpoke]
    12 wire_text::bad_input [Wire]
    12 closing::bad_input_by_reason [Wire Near]
    12 closing::bad_input_limit [Wire Near]
    12 closing::bad_input_too_large [Wire Near]
    13 loss::loss_is_seen []
    13 queues::loss_is_seen_mixed []
    13 loss::loss_is_seen_far [FarHub]
    13 queues::loss_is_seen_merged [FarHub]
    14 ends::connection_loss [Cut PerConnection]
    14 closing::connection_loss_waiters [Cut PerConnection FarHub]
    14 ends::connection_loss_outlives [Cut Outlives]
    14 outlives::connection_loss_ready [Cut Outlives]
    14 outlives::connection_loss_gap [Cut Outlives FarHub]
    14 outlives::connection_loss_wanted [Cut Outlives FarHub]
    14 outlives::connection_loss_answers [Cut Outlives FarHub]
    14 outlives::connection_loss_denied [Cut Outlives FarHub]
    14 outlives::connection_loss_draining [Cut Outlives FarHub]
    14 outlives::connection_loss_final [Cut HangUp Outlives FarHub]
    14 outlives::connection_loss_again [Cut HangUp Outlives FarHub]
    15 ends::close []
    15 ends::close_in_listener []
    15 ends::close_wire [Wire Near]
    15 closing::close_waiters [FarHub]
    15 closing::close_answered [Wire HangUp]
    15 closing::close_lent [Lent]
    16 loss::bounded []
    16 loss::bounded_outbound [Stall FarHub]
    16 queues::bounded_control [Stall FarHub PerConnection]
    16 queues::counted []
    16 queues::counted_wire [Wire Near]
    16 hubs::bounded_slow_spoke [Stall FarSpoke]
    17 loss::undecodable []
}

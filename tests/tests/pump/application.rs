//! What the application does beside the pump: messages of its own, commands, a shutdown.

use super::*;

#[test]
fn the_application_publishes_and_subscribes_over_the_agents_connection() {
    let mut bench = Bench::new(Route::Mqtt);
    bench.app.topic = Some("kitchen/door");
    bench.app.outbox.borrow_mut().extend(["open", "closed"]);
    for slot in [SlotId::A, SlotId::B] {
        let mut line = Line::new(&bench.service);
        assert_eq!(bench.run_over_mqtt(&mut line), slot);
        assert_eq!((line.filters.len(), line.connections), (7, 1), "the agent's and one");
        assert_eq!(*bench.app.inbox.borrow(), ["kitchen/door open", "kitchen/door closed"]);
    }
    assert_eq!(bench.status(), Status::Succeeded);
}

/// What TLS has decrypted is returned without a read of the connection.
#[test]
fn an_acknowledgement_in_one_record_with_a_message_frees_the_next_message_of_the_application() {
    let mut bench = Bench::new(Route::Mqtt);
    bench.app.topic = Some("kitchen/door");
    bench.app.outbox.borrow_mut().extend(["open", "closed"]);
    let mut line = Line { shares_records: true, ..Line::new(&bench.service) };
    assert_eq!(bench.run_over_mqtt(&mut line), SlotId::A);
    assert_eq!((bench.app.inbox.borrow().len(), line.connections), (2, 1));
}

#[test]
fn a_filter_that_the_broker_rejects_is_reported_and_the_update_goes_on() {
    let mut bench = Bench::new(Route::Mqtt);
    bench.app.topic = Some("#/not-valid");
    let mut line = Line::new(&bench.service);
    assert_eq!(bench.run_over_mqtt(&mut line), SlotId::A);
    assert_eq!((line.filters.len(), line.connections), (6, 1));
    assert_eq!(*bench.app.rejected.borrow(), ["\"rejected\""]);
}

#[test]
fn a_command_of_a_handler_is_executed_after_it() {
    let bench = Bench::new(Route::Mqtt);
    bench.app.waits_for_reset.set(true);
    assert_eq!(bench.run_over_mqtt(&mut Line::new(&bench.service)), SlotId::A);
    assert_eq!(bench.run_over_mqtt(&mut Line::new(&bench.service)), SlotId::B);
    assert_eq!(bench.status(), Status::Succeeded);
}

#[test]
fn two_agents_run_in_one_program() {
    let benches = [Route::Mqtt, Route::Mqtt].map(Bench::new);
    for slot in [SlotId::A, SlotId::B] {
        let [mut first, mut second] = benches.each_ref().map(|bench| Line::new(&bench.service));
        let started = benches[0].run_with(async |agent| {
            // The second runs while the first one waits for its first message.
            assert_eq!(benches[1].run_over_mqtt(&mut second), slot);
            pump::run(agent, &mut first).await;
        });
        assert_eq!(started, slot);
    }
    assert!(benches.iter().all(|bench| bench.status() == Status::Succeeded));
}

#[test]
fn filters_that_do_not_fit_are_skipped_with_a_notice_and_the_update_goes_on() {
    for (topic, filters) in [("t".repeat(2_000), 6), ("t".into(), 6 + 8)] {
        let mut bench = Bench::new(Route::Mqtt);
        bench.app.topic = Some(Box::leak(topic.into_boxed_str()));
        bench.app.filters_max = usize::MAX;
        let mut line = Line::new(&bench.service);
        assert_eq!(bench.run_over_mqtt(&mut line), SlotId::A);
        assert_eq!((line.filters.len(), line.connections), (filters, 1));
        assert!(bench.app.notices.borrow().contains(&Notice::FiltersTooLong));
        assert!(bench.app.disconnections.borrow().is_empty());
    }
}

#[test]
fn an_application_that_always_has_a_message_leaves_room_for_the_update_and_for_commands() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut bench = Bench::new(Route::Mqtt);
        bench.app.topic = Some("kitchen/door");
        bench.app.endless = Some(qos);
        bench.app.command_after.set(Some((20_000, Command::Shutdown(Shutdown { unsubscribe: false }))));
        let (mut first, mut second) = (Line::new(&bench.service), Line::new(&bench.service));
        bench.run_with(async |agent| {
            pump::run(agent, &mut first).await;
            pump::run(agent, &mut second).await;
            assert!(agent.is_reset());
        });
        assert!(first.published.len() > 10 && first.unacknowledged_max <= 3, "{}", first.unacknowledged_max);
        assert!(bench.app.inbox.borrow().len() > 5, "what it publishes comes back");
    }
}

#[test]
fn a_shutdown_ends_the_pump_and_a_later_run_goes_on_where_it_was() {
    for unsubscribe in [true, false] {
        let mut bench = Bench::new(Route::Mqtt);
        bench.app.topic = Some("kitchen/door");
        bench.app.command_after.set(Some((20_000, Command::Shutdown(Shutdown { unsubscribe }))));
        let (mut first, mut second) = (Line::new(&bench.service), Line::new(&bench.service));
        bench.run_with(async |agent| {
            pump::run(agent, &mut first).await;
            assert!(agent.progress().is_some_and(|progress| (20_000..IMAGE_BYTES).contains(&progress.done_bytes)));
            assert_eq!((first.connections, first.closed, first.filters.is_empty()), (1, true, unsubscribe));
            pump::run(agent, &mut second).await;
            assert!(agent.is_reset());
            assert_eq!(agent.statistics().blocks_accepted, IMAGE_BYTES.div_ceil(4_096));
        });
        assert!(bench.app.disconnections.borrow().is_empty());
        assert_eq!(bench.run_over_mqtt(&mut Line::new(&bench.service)), SlotId::B);
        assert_eq!(bench.status(), Status::Succeeded);
    }
}

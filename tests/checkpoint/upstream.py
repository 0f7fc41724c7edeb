"""The upstream methods that our consumer replaces or relies on, as they were when it was made."""

import hashlib
import inspect
from pkgutil import resolve_name

DIGESTS = {
    "faust.transport.consumer": {
        "Consumer._drain_messages": "44a2500309e83c63",
        "Consumer.getmany": "4b168d84882a70d6",
        "Consumer._wait_next_records": "6218e1969a636b3f",
        "Consumer._new_offset": "1d2c7ea89a7ad4f1",
        "Consumer._add_gap": "4df2573ded7c1c2c",
        "Consumer._should_commit": "5ce941793947ad42",
        "Consumer._filter_tps_with_pending_acks": "f6f9239774234e7e",
        "Consumer._filter_committable_offsets": "dc5e9baf5d994485",
        "Consumer._commit_offsets": "1a69799041188441",
        "Consumer.commit": "a354437baaa08bf8",
        "Consumer.maybe_wait_for_commit_to_finish": "d687f63a0b5ef0c5",
        "Consumer.force_commit": "cc094614d22c70fb",
        "Consumer.ack": "5fcf41cf45153475",
        "Consumer.perform_seek": "0e8c130ff4b0afd8",
        "Consumer.stop_flow": "cf7e875a2b0d40e8",
        "Consumer.resume_flow": "db59630f25b5819b",
        "Consumer._get_active_partitions": "b24897f3c7afdb5d",
        "Consumer.wait_empty": "e4662fe24f094819",
        "Consumer.on_stop": "45b1d2210ce2b526",
        "Consumer.on_partitions_revoked": "d04b7ae72c6fc206",
        "Consumer.on_partitions_assigned": "29ce96596f05a18c",
        "Fetcher._fetcher": "68f894f0b577d810",
        "ThreadDelegateConsumer._getmany": "f9d47aa9010b5ff2",
    },
    "faust.transport.drivers.aiokafka": {
        "Consumer._new_consumer_thread": "0870ec53dea75083",
        "Consumer._to_message": "7c24f6511b2fcef7",
        "Consumer.verify_event_path": "a17e8f0610e1abcb",
        "ConsumerRebalanceListener.on_partitions_revoked": "348c3aec879faf80",
        "AIOKafkaConsumerThread._create_worker_consumer": "c2701bfc3e6f6cad",
        "AIOKafkaConsumerThread._fetch_records": "39a2c6c79fc1455a",
        "AIOKafkaConsumerThread.getmany": "26fc5fc9f3b667e1",
        "AIOKafkaConsumerThread._commit": "932852ce7a23f658",
        "AIOKafkaConsumerThread.highwater": "6f7dbe109ae6807f",
    },
    "faust.tables.recovery": {
        "Recovery._resume_streams": "d986a6710c1aca98",
        "Recovery.on_recovery_completed": "6ef567acf072e46d",
    },
    "faust.app.base": {
        "App._on_partitions_revoked": "d5c895bbe57dc73a",
        "App._on_partitions_assigned": "de932b7927db85b3",
        "App._stop_consumer": "55854a5de12c3f52",
        "BootStrategy.server": "97e47ea1dec34b55",
    },
    "aiokafka.consumer.consumer": {
        "AIOKafkaConsumer.start": "2f1ba70443327538",
        "AIOKafkaConsumer.seek_to_committed": "f6cd85c8b70a4ccf",
    },
    "aiokafka.consumer.fetcher": {
        "Fetcher.fetched_records": "be4348896b9b66af",
        "Fetcher._get_actions_per_node": "1dab2cf937d165d0",
        "FetchResult.getall": "3e717e30de5068d5",
        "PartitionRecords._unpack_records": "b803e6d46480732c",
    },
    "aiokafka.consumer.subscription_state": {
        "SubscriptionState.fetch_context": "ff2a654dca239cfe",
        "SubscriptionState.begin_reassignment": "c141fe3db38455c0",
    },
}
"""Of the source of each method, by module."""


def digest(module: str, method: str) -> str:
    """Return the digest of a method's source as it is installed."""
    found = resolve_name(f"{module}:{method}")
    # What Faust starts as a task of a service is wrapped.
    source = inspect.getsource(getattr(found, "fun", found))
    return hashlib.sha256(source.encode()).hexdigest()[:16]

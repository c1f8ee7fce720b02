from waypost import limits


def test_every_bound_is_a_positive_number() -> None:
    bounds = {name: value for name, value in vars(limits).items() if name.isupper()}
    flat = [item for value in bounds.values() for item in (value if isinstance(value, tuple) else (value,))]
    assert len(bounds) > 50
    assert all(isinstance(item, int | float) and item > 0 for item in flat)


def test_what_travels_inside_fits_what_is_around_it() -> None:
    assert limits.BODY_MAX_BYTES < limits.ENVELOPE_MAX_BYTES < limits.BATCH_MAX_BYTES < limits.FRAME_MAX_BYTES
    assert limits.HANDSHAKE_FRAME_MAX_BYTES < limits.FRAME_MAX_BYTES
    assert limits.RECORDS_PER_MESSAGE_MAX * limits.RECORD_MAX_BYTES < limits.FRAME_MAX_BYTES
    assert limits.BUNDLE_MAX_BYTES < limits.FRAME_MAX_BYTES
    assert limits.BATCH_MAX_ENVELOPES <= limits.ARRAY_MAX_ITEMS
    assert limits.RECIPIENTS_MAX <= limits.ARRAY_MAX_ITEMS


def test_a_window_holds_a_batch_and_a_buffer_a_frame() -> None:
    assert limits.WINDOW_ENVELOPES >= limits.BATCH_MAX_ENVELOPES
    assert limits.DEVICE_WINDOW_ENVELOPES >= limits.BATCH_MAX_ENVELOPES
    assert min(limits.WINDOW_BYTES, limits.DEVICE_WINDOW_BYTES) >= limits.BATCH_MAX_BYTES
    assert limits.SEND_BUFFER_MAX_BYTES >= limits.FRAME_MAX_BYTES
    assert limits.FEED_MAX_BYTES <= limits.FEEDS_MAX_BYTES


def test_bundle_of_every_device_fits() -> None:
    devices = limits.DEVICES_PER_ACCOUNT_MAX
    assert devices * limits.PACKAGE_MAX_BYTES + limits.DEVICE_LIST_MAX_BYTES < limits.BUNDLE_MAX_BYTES

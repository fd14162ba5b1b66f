import signal
import threading

import pytest

from evglif.training.interrupt import between_batches


def test_ctrl_c_waits_until_it_is_asked_for():
    with between_batches() as check:
        check()
        signal.raise_signal(signal.SIGINT)
        done = True  # the batch goes on
        with pytest.raises(KeyboardInterrupt):
            check()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait():
    with between_batches():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_other_threads_and_other_handlers_are_left_alone():
    found = []

    def elsewhere():
        with between_batches() as check:
            check()
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(10)
    assert found == [signal.default_int_handler]
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with between_batches():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)

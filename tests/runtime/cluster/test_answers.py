"""What threads wait for, also when the process leaves the cluster. ``get`` of the main thread is ``ray.get``."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import ray

from raynas.runtime.cluster.answers import get

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


@ray.remote(num_cpus=0)
def answer(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


def in_a_thread(call: Callable[[], Any]) -> Any:
    said: list[Any] = []

    def run() -> None:
        try:
            said.append(call())
        except Exception as error:
            said.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return said.pop()


def test_a_thread_is_answered_as_the_main_one() -> None:
    references = [answer.remote(1), ray.put(b"x" * 1_000_000), answer.remote([2])]
    assert in_a_thread(lambda: get(references)) == get(references) == [1, b"x" * 1_000_000, [2]]
    assert in_a_thread(lambda: get(references[0])) == get(references[0]) == 1


@pytest.mark.parametrize("error", [KeyError("k"), TimeoutError("late")], ids=str)
def test_a_thread_gets_the_error_of_the_task(error: Exception) -> None:
    reference = answer.remote(error)
    with pytest.raises(type(error)) as raised:
        get(reference)
    in_thread = in_a_thread(lambda: get(reference))
    assert isinstance(in_thread, type(error))
    assert str(in_thread) == str(raised.value)


@pytest.mark.timeout(300)
def test_threads_that_wait_when_the_cluster_is_left_are_told_so_and_end() -> None:
    """In a process of its own, which leaves, and joins another cluster at once. Threads that stayed would keep it running."""
    program = """
import threading, time
import ray, raynas
from raynas.errors import RegistryError

raynas.connect()
store, said = raynas.WeightRegistry("left")._store, []
never = ray.remote(num_cpus=0)(lambda: time.sleep(60)).remote()

def wait():
    try:
        store.get(never)
    except RegistryError as error:
        said.append(str(error))

threads = [threading.Thread(target=wait) for _ in range(20)]
for thread in threads:
    thread.start()
raynas.disconnect()
raynas.connect()
for thread in threads:
    thread.join(20)
print(len(said), set(said))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=280, check=True)
    assert ended.stdout == """20 {"registry 'left' is in a cluster that this process has left"}\n"""

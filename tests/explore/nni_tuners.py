"""Four tuners as others wrote them for NNI: they know nothing of raynas, and change whatever they are handed.

``RandomTuner``, ``AgeingEvolutionTuner`` (deep copies; one input twice), ``LateTuner`` (answers through the callback) and
``ShortListTuner``. Load this file by its path; it is no package.
"""

import copy
import itertools
import random
from collections import deque

import numpy as np


class NoMoreTrialError(Exception):
    """NNI's, by its name."""


class Tuner:
    """NNI's base class, as far as it does anything."""

    def generate_parameters(self, parameter_id, **kwargs):
        raise NotImplementedError

    def generate_multiple_parameters(self, parameter_id_list, **kwargs):
        result = []
        for parameter_id in parameter_id_list:
            try:
                result.append(self.generate_parameters(parameter_id, **kwargs))
            except NoMoreTrialError:
                return result
        return result

    def trial_end(self, parameter_id, success, **kwargs): ...

    def import_data(self, data): ...


class RandomTuner:
    """Nothing but three methods, arguments by position only, numbers of numpy; a name for each single pick."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def update_search_space(self, space):
        self.space = space

    def generate_parameters(self, *args, **kwargs):
        return {key: self._draw(entry["_type"], entry["_value"]) for key, entry in self.space.items()}

    def _draw(self, kind, value):
        if kind != "input_choice":
            index = self.rng.integers(len(value))
            return {"_value": value[index], "_idex": index}
        names, wanted = value["candidates"], value["n_chosen"]
        wanted = self.rng.integers(len(names) + 1) if wanted is None else wanted
        picked = self.rng.permutation(len(names))[:wanted]
        return {"_value": [names[index] for index in picked], "_idx": picked}

    def receive_trial_result(self, *args, **kwargs): ...


class AgeingEvolutionTuner(Tuner):
    """Regularized evolution; children are deep copies of what it was told, inputs are drawn with repeats."""

    def __init__(self, seed, population_size=8, sample_size=3, repeats=True):
        self.rng = random.Random(seed)
        self.population_size, self.sample_size, self.repeats = population_size, sample_size, repeats
        self.population = deque()
        self.running = {}

    def update_search_space(self, search_space):
        self.space = search_space
        self.waiting = deque(self._random() for _ in range(self.population_size))

    def generate_parameters(self, parameter_id, **kwargs):
        if self.waiting:
            self.running[parameter_id] = self.waiting.popleft()
        elif self.population:
            parent = max((self.rng.choice(self.population) for _ in range(self.sample_size)), key=lambda known: known[1])[0]
            self.running[parameter_id] = copy.deepcopy(parent)
            self._mutate(self.rng.choice(list(parent)), self.running[parameter_id])
        else:
            raise NoMoreTrialError
        return self.running[parameter_id]

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        del self.running[parameter_id]
        self.population.append((parameters, value))
        if len(self.population) > self.population_size:
            old, _ = self.population.popleft()
            old.clear()

    def trial_end(self, parameter_id, success, **kwargs):
        if not success:
            del self.running[parameter_id]
            self.waiting.append(self._random())

    def _random(self):
        made = {}
        for key in self.space:
            self._mutate(key, made)
        return made

    def _mutate(self, key, made):
        entry = self.space[key]
        if entry["_type"] != "input_choice":
            index = self.rng.randrange(len(entry["_value"]))
            made[key] = {"_value": entry["_value"][index], "_idx": index}
            return
        names, wanted = entry["_value"]["candidates"], entry["_value"]["n_chosen"]
        wanted = self.rng.randint(0, len(names)) if wanted is None else wanted
        everyone = range(len(names))
        drawn = [self.rng.choice(everyone) for _ in range(wanted)] if self.repeats else self.rng.sample(everyone, wanted)
        made[key] = {"_value": [names[index] for index in drawn], "_idx": drawn}


class LateTuner(Tuner):
    """Proposes in rounds. Who asks in mid-round is answered through the callback, once the round's last trial has ended."""

    def __init__(self, seed, round_size=4):
        self.rng, self.round_size = np.random.default_rng(seed), round_size
        self.ready, self.running, self.owed = [], set(), deque()

    def update_search_space(self, search_space):
        self.space = search_space
        self._start()

    def generate_multiple_parameters(self, parameter_id_list, **kwargs):
        self.send_trial_callback = kwargs["st_callback"]
        return super().generate_multiple_parameters(parameter_id_list, **kwargs)

    def generate_parameters(self, parameter_id, **kwargs):
        if not self.ready:
            self.owed.append(parameter_id)
            raise NoMoreTrialError("no more parameters now")
        self.running.add(parameter_id)
        return self.ready.pop()

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        assert parameter_id in self.running
        parameters.clear()

    def trial_end(self, parameter_id, success, **kwargs):
        self.running.remove(parameter_id)
        if self.running or self.ready:
            return
        self._start()
        while self.owed and self.ready:
            self.running.add(self.owed[0])
            self.send_trial_callback(self.owed.popleft(), self.ready.pop())

    def _start(self):
        drawer = RandomTuner(self.rng)
        drawer.space = self.space
        self.ready = [drawer.generate_parameters(0) for _ in range(self.round_size)]


class ShortListTuner:
    """Every combination in turn, no more than ``room`` at once: what there is no room for is not in the list."""

    def __init__(self, room=3):
        self.room, self.running = room, set()

    def update_search_space(self, search_space):
        options = [self._options(key, entry["_type"], entry["_value"]) for key, entry in search_space.items()]
        self.left = itertools.product(*options)

    def _options(self, key, kind, value):
        if kind != "input_choice":
            return [(key, {"_value": name, "_idx": index}) for index, name in enumerate(value)]
        names, wanted = value["candidates"], value["n_chosen"]
        sizes = range(len(names) + 1) if wanted is None else [wanted]
        picks = [pick for size in sizes for pick in itertools.combinations(range(len(names)), size)]
        return [(key, {"_value": [names[index] for index in pick], "_idx": list(pick)}) for pick in picks]

    def generate_parameters(self, parameter_id):
        raise AssertionError("it is asked for several")

    def generate_multiple_parameters(self, parameter_id_list):
        room = max(0, self.room - len(self.running))
        made = [dict(combination) for combination in itertools.islice(self.left, min(room, len(parameter_id_list)))]
        self.running |= set(parameter_id_list[: len(made)])
        return made

    def receive_trial_result(self, parameter_id, parameters, value): ...

    def trial_end(self, parameter_id, success):
        self.running.remove(parameter_id)

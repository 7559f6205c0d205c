from tests.cli.command import DIGITS, Command, assert_is_one_error


def test_options_are_read_and_said_again(here: Command) -> None:
    from raynas.cli.options import given, read_resources, read_workers

    assert (read_workers("4"), read_workers("1,3")) == (4, (1, 3))
    assert read_resources('{"gpu": 0.25}') == {"gpu": 0.25}
    options = {"use_gpu": True, "num_workers": (1, 3), "resources_per_trial": {"gpu": 0.5}, "allow_local": False, "seed": None}
    assert given(options) == ["--use-gpu", "--num-workers", "1,3", "--resources-per-trial", '{"gpu": 0.5}']
    assert given({"use_gpu": False, "max_flops": 1e6}) == ["--no-gpu", "--max-flops", "1000000.0"]
    for wrong in (["--num-workers", "1,2,3"], ["--num-workers", "many"], ["--resources-per-trial", "[1]"]):
        assert_is_one_error(here("run", str(DIGITS), *wrong), wrong[0])

"""One run as one story: data, model, adapter, optimizer, loop, outcome."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from metadata.checks import check, check_serving
from metadata.methods import METHODS
from metadata.objectives import check_objective
from metadata.optimizers import OPTIMIZERS
from metadata.records import Measurement, RunState, Scores
from training_worker import ranks
from training_worker.adapter import add_adapter, save_adapter, trainable
from training_worker.data import Tokens, padding_id
from training_worker.entries import resolve
from training_worker.failures import check_kept, classify
from training_worker.forgetting import encode_texts
from training_worker.ledger import Ledger, device_name, versions
from training_worker.loop import Learner, OnStep, fit_memory, train
from training_worker.micro_batch import first_micro_batch, profile_of
from training_worker.model import Base, choose_device, load_base, prepare
from training_worker.objectives import training_for
from training_worker.optimizer import freeze
from training_worker.pairs import first_rows
from training_worker.randomness import own_random_numbers
from training_worker.request import RunRequest, RunResult, ScoreSettings
from training_worker.resuming.fingerprint import fingerprint
from training_worker.resuming.keeper import Keeper, OnNotice, OnSaved, Preempted
from training_worker.scoring import choose_rankings
from training_worker.setting import look
from training_worker.trainers import TRAINERS

__all__ = ["RunRequest", "RunResult", "ScoreSettings", "run"]


def run(
    request: RunRequest,
    *,
    on_measurement: Callable[[Measurement, float], None] = lambda measurement, progress: None,
    on_step: OnStep = lambda taken: None,
    on_saved: OnSaved = lambda saved: None,
    on_notice: OnNotice = lambda notice: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Train one configuration on one task and score it.

    Never raises for what a run can die of: the state and the reason say it, since a failed run is
    knowledge too. The same request gives the same curve, bit for bit, on one kind of CPU with one
    number of threads, and so does one that goes on from a checkpoint of it.

    Args:
        request: What to train, on what data, within which limits.
        on_measurement: Told each point of the curve and the share of steps done.
        on_step: Told each optimizer step taken.
        on_saved: Told each checkpoint written.
        on_notice: Told what the one who waits for the run should know of.
        should_stop: Asked between steps whether the process is to end before the run does.

    Raises:
        Preempted: `should_stop` said so, and there is a checkpoint of the last step taken.
    """
    ledger = Ledger(report=on_measurement, on_notice=on_notice)
    keep = partial(_keeper, request, ledger, on_saved=on_saved, should_stop=should_stop)
    try:
        with own_random_numbers():
            scores = _tell(request, ledger, on_step, keep)
    except Preempted:
        raise
    except Exception as error:  # whatever a model, a template or a device raises ends this run only
        return _result(request, ledger, *classify(error), scores=None)
    return _result(request, ledger, "succeeded", "", scores=scores)


def _tell(
    request: RunRequest, ledger: Ledger, on_step: OnStep, keep: Callable[[Base], Keeper]
) -> Scores:
    configuration = request.configuration
    check(configuration)
    check_objective(configuration, request.objective)
    check_serving(configuration, request.serve_with)
    ranks.check_shares(configuration)
    ledger.use(choose_device(request.device))
    base = load_base(request.base_model, configuration, ledger.device)
    check(configuration, profile_of(base.model))
    keeper = keep(base)
    before = METHODS[configuration.method.name].virtual_tokens(configuration.method.values)
    length = min(configuration.max_length_tokens, base.context_tokens - before)
    training = training_for(request.objective)
    splits = training.encode(request, base, ledger, max_length_tokens=length)
    judge = training.judge(base.model, base.tokenizer, splits, request.scoring, ledger)
    own_text = encode_texts(request.own_text, base.tokenizer, context_tokens=base.context_tokens)
    base_validation, base_test = judge.validate(), judge.test()
    base_own = judge.read(own_text)

    learner = _learner(base, request, splits.train)
    ledger.trainable_parameters = sum(weight.numel() for weight in learner.weights.values())
    resumed = keeper.newest()
    size = (
        first_micro_batch(request, base.model, splits.train, ledger.device)
        if resumed is None
        else resumed.micro_batch_size
    )
    trainer = TRAINERS[OPTIMIZERS[configuration.optimizer.name].kind]
    plan = fit_memory(
        learner, splits.train, request, ledger, micro_batch_size=size, trainer=trainer
    )
    judge = replace(judge, model=learner.model)
    checkpoints = train(
        learner,
        plan,
        request,
        ledger,
        validate=judge.validate,
        on_step=on_step,
        trainer=trainer,
        keeper=keeper,
        resumed=resumed,
    )

    check_kept(checkpoints.kept(configuration.keep).loss, base_validation)
    rankings = choose_rankings(request, base.tokenizer, max_length_tokens=length)
    scores = judge.compare(checkpoints, base_test, keep=configuration.keep, rankings=rankings)
    if own_text:
        scores = scores.model_copy(update={"forgotten": judge.read(own_text) - base_own})
    if request.output_folder is not None and ranks.is_first():
        folder, form = request.output_folder, request.serve_with
        save_adapter(learner.model, configuration, folder, serve_with=form)
    return scores


def _keeper(
    request: RunRequest,
    ledger: Ledger,
    base: Base,
    *,
    on_saved: OnSaved,
    should_stop: Callable[[], bool],
) -> Keeper:
    return Keeper(
        request.checkpoint_folder,
        run=fingerprint(request, base.model) if request.checkpoint_folder else "",
        attempt=request.attempt,
        every_seconds=request.checkpoint_seconds,
        on_saved=on_saved,
        on_notice=ledger.on_notice,
        should_stop=should_stop,
    )


def _learner(base: Base, request: RunRequest, examples: Sequence[Tokens]) -> Learner:
    configuration = request.configuration
    torch.manual_seed(configuration.seed)
    spec, padding = METHODS[configuration.method.name], padding_id(base.tokenizer)
    setting = look(
        first_rows(examples), configuration, padding_id=padding, device=base.model.device
    )
    model = add_adapter(base.model, configuration, setting)
    prepare(model, configuration)
    held = freeze(model, configuration)
    return training_for(request.objective).learner(
        model=model,
        weights=trainable(model),
        loss_on=configuration.loss_on,
        padding_id=padding,
        penalty=resolve(spec.penalty) if spec.penalty else None,
        clipping=configuration.gradient_clipping,
        held=held,
    )


def _result(
    request: RunRequest, ledger: Ledger, state: RunState, reason: str, *, scores: Scores | None
) -> RunResult:
    return RunResult(
        state=state,
        reason=reason,
        curve=tuple(ledger.curve),
        scores=scores,
        costs=ledger.costs(),
        versions=versions(),
        device_name=device_name(ledger.device),
        micro_batch_size=ledger.micro_batch_size,
        adapter_folder=request.output_folder if state == "succeeded" else None,
    )

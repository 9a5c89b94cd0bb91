"""The `openai` package, unmodified, against a real server that really trains.

Every answer is held against the package's own models: nothing may be there that they do not know
but the key `peft`, nothing may have a type that they do not allow but the status `paused`.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

openai = pytest.importorskip("openai", reason="needs the package openai")
from openai.types import FileDeleted, FileObject, Model  # noqa: E402
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent  # noqa: E402
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint  # noqa: E402

SECONDS = 240.0
LINES = "".join(
    json.dumps({"prompt": f"{n} plus {n} is", "completion": f" {2 * n}"}) + "\n" for n in range(60)
)


@pytest.fixture(scope="module")
def client(shared_service: httpx.Client) -> Iterator[Any]:
    """Return the package's client of the server."""
    url = f"{str(shared_service.base_url).rstrip('/')}/v1"
    with openai.OpenAI(base_url=url, api_key="none") as found:
        yield found


@pytest.fixture(scope="module")
def training_file(client: Any) -> Any:
    return client.files.create(file=("sums.jsonl", LINES.encode()), purpose="fine-tune")


def strict(answer: Any, model: type[Any]) -> None:
    """Hold an answer against a model of the package, strictly."""
    said = json.loads(answer.model_dump_json(exclude_unset=True))
    if said.get("status") == "paused":
        said["status"] = "running"
    said.pop("peft", None)
    model.model_validate(said, strict=True)
    unknown = _unknown(said, model)
    assert unknown == [], f"{model.__name__} does not know {unknown}"


def _unknown(said: Any, model: type[Any]) -> list[str]:
    found = [name for name in said if name not in model.model_fields]
    for name, value in said.items():
        kind = model.model_fields[name].annotation if name in model.model_fields else None
        inner = [one for one in _models_in(kind) if isinstance(value, dict)]
        if inner:
            found += min((_unknown(value, one) for one in inner), key=len)
    return found


def _models_in(kind: Any) -> list[type[Any]]:
    if hasattr(kind, "model_fields"):
        return [kind]
    return [one for part in getattr(kind, "__args__", ()) for one in _models_in(part)]


def finished(client: Any, job_id: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status in {"queued", "running"}:
        strict(job, FineTuningJob)
        assert time.monotonic() < deadline, job
        time.sleep(0.3)
    return job


def test_files_are_uploaded_listed_read_and_deleted(client: Any, training_file: Any) -> None:
    strict(training_file, FileObject)
    other = client.files.create(file=("more.jsonl", LINES.encode()), purpose="fine-tune")

    newest = list(client.files.list(purpose="fine-tune", order="desc", limit=1))
    oldest = list(client.files.list(purpose="fine-tune", order="asc"))

    assert [file.id for file in newest] == [file.id for file in reversed(oldest)]
    assert {training_file.id, other.id} <= {file.id for file in oldest}
    assert list(client.files.list(purpose="batch")) == []
    strict(client.files.retrieve(other.id), FileObject)
    assert client.files.content(other.id).text == LINES
    strict(client.files.delete(other.id), FileDeleted)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(other.id)


def test_a_job_is_created_followed_and_leaves_its_results(client: Any, training_file: Any) -> None:
    created = client.fine_tuning.jobs.create(
        model="peftwise-tiny",
        training_file=training_file.id,
        suffix="sums",
        seed=3,
        metadata={"team": "blue"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}},
        },
    )
    strict(created, FineTuningJob)
    assert created.hyperparameters.n_epochs == 2

    job = finished(client, created.id)

    strict(job, FineTuningJob)
    assert job.status == "succeeded", job.error
    assert job.fine_tuned_model.startswith("ft:peftwise-tiny:sums:")
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=2))  # several pages
    for event in events:
        strict(event, FineTuningJobEvent)
    assert [event.message for event in events][-1].startswith("Queued")
    assert len({event.id for event in events}) == len(events) > 2
    for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id):
        strict(checkpoint, FineTuningJobCheckpoint)
    [result] = job.result_files
    lines = client.files.content(result).text.splitlines()
    assert lines[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    assert len(lines) > 2
    assert client.files.retrieve(result).purpose == "fine-tune-results"
    assert job.id in {j.id for j in client.fine_tuning.jobs.list(metadata={"team": "blue"})}
    models = {model.id: model for model in client.models.list()}
    strict(models[job.fine_tuned_model], Model)
    strict(client.models.retrieve(job.fine_tuned_model), Model)


def test_a_job_is_paused_resumed_and_cancelled(client: Any, training_file: Any) -> None:
    job = client.fine_tuning.jobs.create(
        model="peftwise-tiny",
        training_file=training_file.id,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 900}}},
    )

    paused = client.fine_tuning.jobs.pause(job.id)
    strict(paused, FineTuningJob)
    with pytest.raises(openai.BadRequestError, match="needed by job"):
        client.files.delete(training_file.id)
    resumed = client.fine_tuning.jobs.resume(job.id)
    cancelled = client.fine_tuning.jobs.cancel(job.id)

    strict(cancelled, FineTuningJob)
    assert (paused.status, resumed.status) == ("paused", "queued")
    assert cancelled.status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="can only be read"):
        client.fine_tuning.jobs.cancel(job.id)


def test_errors_are_the_packages_own_classes(client: Any, training_file: Any) -> None:
    create = client.fine_tuning.jobs.create
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.retrieve("ftjob-nowhere")
    with pytest.raises(openai.BadRequestError) as caught:
        create(model="no/such-model", training_file=training_file.id)
    assert caught.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="integrations"):
        create(
            model="peftwise-tiny",
            training_file=training_file.id,
            integrations=[{"type": "wandb", "wandb": {"project": "x"}}],
        )
    with pytest.raises(openai.BadRequestError, match="JSON"):
        client.files.create(file=("bad.jsonl", b"{not json\n"), purpose="fine-tune")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("ft:nobody:nothing:00000000")


def test_an_answer_that_is_lost_leaves_one_job(client: Any, training_file: Any) -> None:
    """The first answer is dropped after it was given; the package sends the order again."""
    lost: list[str] = []

    def drop_first(response: Any) -> None:
        if response.request.method == "POST" and not lost:
            response.read()
            lost.append(response.json()["id"])
            raise _connection_lost()

    with openai.OpenAI(
        base_url=client.base_url,
        api_key="none",
        http_client=openai.DefaultHttpxClient(event_hooks={"response": [drop_first]}),
    ) as unlucky:
        job = unlucky.fine_tuning.jobs.create(
            model="peftwise-tiny", training_file=training_file.id, seed=4
        )

    assert lost == [job.id]
    client.fine_tuning.jobs.cancel(job.id)


def _connection_lost() -> Exception:
    library = type(openai.DefaultHttpxClient()).__mro__[1].__module__.partition(".")[0]
    error: Exception = __import__(library).ReadError("the answer is lost")
    return error


def test_a_dpo_job_is_created_followed_and_says_what_it_prefers(client: Any) -> None:
    pairs = [
        {
            "input": {"messages": [{"role": "user", "content": f"{n} plus {n}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"{2 * n}"}],
            "non_preferred_output": [{"role": "assistant", "content": f"I think it is {n}."}],
        }
        for n in range(60)
    ]
    content = "".join(json.dumps(pair) + "\n" for pair in pairs).encode()
    file = client.files.create(file=("pairs.jsonl", content), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError, match="Train them with dpo"):
        client.fine_tuning.jobs.create(model="peftwise-tiny", training_file=file.id)

    created = client.fine_tuning.jobs.create(
        model="peftwise-tiny",
        training_file=file.id,
        method={
            "type": "dpo",
            "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2, "batch_size": "auto"}},
        },
    )
    strict(created, FineTuningJob)
    job = finished(client, created.id)

    strict(job, FineTuningJob)
    assert job.status == "succeeded", job.error
    assert (job.method.type, job.method.supervised) == ("dpo", None)
    assert job.method.dpo.hyperparameters.beta == 0.2
    assert job.method.dpo.hyperparameters.n_epochs == 2
    margins = [point["value"] for point in job.peft["curve"] if point["name"] == "margin"]
    assert margins[0] == 0.0 < margins[-1]
    [result] = job.result_files
    assert len(client.files.content(result).text.splitlines()) > 2

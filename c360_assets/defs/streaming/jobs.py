"""Start, stop and upgrade a stream from Dagster's UI or CLI; each run ends when Flink has done it."""

import dagster as dg

from c360.errors import C360Error
from c360_assets.factory import failure
from c360_assets.resources.streams import StreamsResource


class OneStream(dg.Config):
    """``stream``: its name, as ``c360 streams list`` shows it."""

    stream: str


class Start(OneStream):
    """``from_path``: checkpoint or savepoint to resume from, if not the newest; ``fresh``: begin without state."""

    from_path: str = ""
    fresh: bool = False


class Stop(OneStream):
    """``savepoint``: whether to take one."""

    savepoint: bool = True


@dg.op(description="Start the stream, or resume it; the reconciler keeps it running from then on.")
def start_stream(context: dg.OpExecutionContext, config: Start, streams: StreamsResource) -> None:
    """Start or resume; the run fails with the mend where a guard refuses."""
    try:
        with streams.open() as opened:
            job_id = opened.start(config.stream, config.from_path or None, fresh=config.fresh)
    except C360Error as error:
        raise failure(error) from error
    context.add_output_metadata({"stream": config.stream, "job_id": job_id})


@dg.op(description="Stop the stream with a savepoint; nothing restarts it until somebody starts it.")
def stop_stream(context: dg.OpExecutionContext, config: Stop, streams: StreamsResource) -> None:
    """Stop with a savepoint."""
    try:
        with streams.open() as opened:
            savepoint = opened.stop(config.stream, savepoint=config.savepoint)
    except C360Error as error:
        raise failure(error) from error
    context.add_output_metadata({"stream": config.stream, "savepoint": savepoint or "none: nothing ran"})


@dg.op(description="Run the stream's SQL as it is now with its state; back to the old SQL if the new one fails.")
def upgrade_stream(context: dg.OpExecutionContext, config: OneStream, streams: StreamsResource) -> None:
    """Upgrade; the run fails when the old SQL had to be started again."""
    from c360.streams.upgrade import upgrade

    try:
        with streams.open() as opened:
            done = upgrade(opened, config.stream)
    except C360Error as error:
        raise failure(error) from error
    if done.result == "fell_back":
        raise dg.Failure(
            description=f"The new SQL failed, the old one runs again: {done.reason}",
            metadata={"job_id": done.job_id or "", "state": done.state or ""},
            allow_retries=False,
        )
    context.add_output_metadata({"stream": config.stream, "result": done.result, "job_id": done.job_id or ""})


@dg.job(executor_def=dg.in_process_executor, description="Start or resume one stream.")
def stream_start() -> None:
    """One start."""
    start_stream()


@dg.job(executor_def=dg.in_process_executor, description="Stop one stream with a savepoint.")
def stream_stop() -> None:
    """One stop."""
    stop_stream()


@dg.job(executor_def=dg.in_process_executor, description="Bring the changed SQL of one stream into operation.")
def stream_upgrade() -> None:
    """One upgrade."""
    upgrade_stream()


@dg.definitions
def streaming_jobs() -> dg.Definitions:
    """What a person does to a stream."""
    return dg.Definitions(jobs=[stream_start, stream_stop, stream_upgrade])

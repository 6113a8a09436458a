# The public names and their parameters as of the last release; written by tests/public_names.py, never by hand.
class phaseline:
    class Abort:
        def __init__(self, reason): ...
        reason: object
    class Again:
        def __init__(self, after, reason=''): ...
        after: object
        reason: object
    class Budget:
        cost: object
        def passed_by(self, usage): ...
        def reached_by(self, usage): ...
        requests: object
        tokens: object
    class Checkpoint:
        created_at: object
        epoch: object
        id: object
        phase: object
        revision: object
    class Commanded:
        done: object
        refused: object
    class Context:
        attempt: object
        attributes: object
        blocking: object
        budget: object
        cancelled: object
        connection: object
        deadline: object
        def dep(self, token, /): ...
        def emit(self, event, /): ...
        def has_step(self, key, /): ...
        def heartbeat(self): ...
        idempotency_key: object
        item: object
        log: object
        namespace: object
        def now(self): ...
        phase: object
        pipeline: object
        def progress(self, done, total=None, note=''): ...
        def reserve(self, key, at_most, /): ...
        def result_of(self, phase, /): ...
        run_id: object
        def run_input(self, type_, /): ...
        def save(self, value, /): ...
        saved: object
        def saved_as(self, type_, /): ...
        def spend(self, key, usage, /): ...
        def step(self, key, fn, /, *args, **kwargs): ...
        tags: object
    class CustomEvent:
        wire_name: object
    class Dag:
        def build(self, output, /, *, also=(), version='1', retry=None, timeout=None, sla=None, concurrency=None, rate=None, budget=None, on_failure='stay'): ...
    class Dep:
        name: object
    class Err:
        category: object
        message: object
        def of(cls, error): ...
        status: object
        type: object
    class ErrorCategory:
        PROCESSING: object
        STATE: object
        SYSTEM: object
        TIMEOUT: object
        VALIDATION: object
    class Event:
        at: object
        data: object
        own_fields: object
        phase: object
        pipeline: object
        position: object
        run_id: object
        seq: object
        transition: object
        type: object
        wire_name: object
    class EventBus:
        def __init__(self): ...
        def close(self): ...
        def drain(self, seconds): ...
        def follow(self, wanted, buffer=DEFAULT_BUFFER): ...
        is_idle: object
        def observe(self, observer): ...
        def open(self, spawn, threads): ...
        def publish(self, events): ...
        def remove(self, subscription): ...
        def stats(self): ...
        def subscribe(self, handler=None, /, *, types=None, run=None, pipeline=None, own=False, buffer=DEFAULT_BUFFER): ...
        def tell(self, events): ...
        def tell_own(self, events): ...
        def unfollow(self, inbox): ...
        def unobserve(self, observer): ...
        def wake(self, run_id): ...
        def wake_readers(self): ...
        def wake_waiting(self): ...
        def watch(self, run_id): ...
        def watch_for_end(self, run_id): ...
    class Finish:
        def __init__(self, output): ...
        output: object
    class Ok:
        status: object
        value: object
    class Orphans:
        count: object
        fingerprint: object
        first: object
        is_changed: object
        pipeline: object
        remedy: object
        version: object
    class Phase:
        body: object
        def compensate(self, value, output, ctx, /): ...
        concurrency: object
        heartbeat: object
        input_type: object
        label: object
        may_finish: object
        name: object
        names: object
        options: object
        output_type: object
        queue: object
        rate: object
        requires: object
        retry: object
        def run(self, value, ctx, /): ...
        signature: object
        sla: object
        timeout: object
        title: object
        transactional: object
        def with_options(self, **options): ...
    class PhaseRecord:
        attempt: object
        available_at: object
        breached: object
        crashes: object
        decided: object
        due_at: object
        duration: object
        ended_at: object
        epoch: object
        error: object
        failures: object
        fence: object
        first_started_at: object
        generation: object
        gone_in_epoch: object
        is_taken_over: object
        lease_expires: object
        length: object
        limits: object
        live: object
        path: object
        position: object
        postponed: object
        priority: object
        progress: object
        queue: object
        reason: object
        same_as: object
        sla_at: object
        started_at: object
        state: object
        total: object
        wait_key: object
        wait_kind: object
        worker: object
    class PhaseState:
        COMPLETED: object
        FAILED: object
        PENDING: object
        RETRYING: object
        RUNNING: object
        SKIPPED: object
    class PhaselineError:
        category: object
        retryable: object
    class Pipeline:
        def __init__(self, name, body, *, version='1', retry=None, timeout=None, sla=None, concurrency=None, rate=None, budget=None, on_failure='stay'): ...
        def input_schema(self): ...
        def output_schema(self): ...
        plan: object
        retry: object
        def run(self, value, /, *, runtime=None, deps=None): ...
        def run_sync(self, value, /, *, runtime=None, deps=None): ...
        def signal_schemas(self): ...
        def to_dict(self): ...
        def to_mermaid(self): ...
        transitions: object
        version: object
    class Quota:
        budget: object
        per: object
    class Rate:
        per: object
        starts: object
    class Ref:
        index: object
        owner: object
        title: object
        type: object
    class Retry:
        attempts: object
        def delay(self, failures, error, *, elapsed=timedelta(0)): ...
        is_endless: object
        most: object
        retry: object
        stop: object
        wait: object
    class RetryAfter:
        def __init__(self, delay, reason=''): ...
        reason: object
        retry_after: object
    class Run:
        attributes: object
        breached: object
        checkpoints: object
        created_at: object
        duration: object
        ended_at: object
        error: object
        forked_from: object
        history: object
        id: object
        output: object
        parent_id: object
        parent_path: object
        phases: object
        pipeline: object
        sla_at: object
        started_at: object
        state: object
        states: object
        tags: object
        usage: object
        usage_by_phase: object
        version: object
    class RunHandle:
        def __init__(self, runtime, run_id, live, is_new=False): ...
        def annotate(self, note, /, *, reason='', actor=''): ...
        def cancel(self, *, reason='', actor=''): ...
        def checkpoints(self): ...
        def events(self, *, after=0): ...
        def export(self, *, values=True): ...
        def fork(self, at=None, *, reason='', actor=''): ...
        id: object
        is_new: object
        is_visible: object
        def pause(self, *, reason='', actor=''): ...
        def rerun_from(self, phase, /, *, reason='', actor=''): ...
        def restart(self, *, reason='', actor=''): ...
        def result(self, timeout=None): ...
        def result_of(self, phase, /): ...
        def resume(self, *, reason='', actor=''): ...
        def retry(self, *, reason='', actor=''): ...
        def rollback(self, to=None, /, *, reason='', actor=''): ...
        def run(self): ...
        runtime: object
        def signal(self, signal, value, /, *, key=None, id=None, actor=''): ...
        def state(self): ...
        def wait(self, timeout=None): ...
    class RunPage:
        next: object
        runs: object
    class RunState:
        CANCELLED: object
        COMPLETED: object
        FAILED: object
        IDLE: object
        INITIALIZING: object
        PAUSED: object
        ROLLED_BACK: object
        ROLLING_BACK: object
    class RunSummary:
        attributes: object
        created_at: object
        ended_at: object
        error: object
        forked_from: object
        id: object
        key: object
        parent_id: object
        phase: object
        pipeline: object
        priority: object
        started_at: object
        state: object
        tags: object
        def to_dict(self): ...
        updated_at: object
        version: object
    class Runs:
        def control(self, verb, /, *, reason='', actor='', phase=None, to=None, note=None): ...
        def count(self): ...
        def statistics(self, by='pipeline'): ...
        def usage(self): ...
    class Runtime:
        def __init__(self, storage=None, *, pipelines=(), queue=None, serve=True, queues=None, concurrency=256, sync_threads=32, lease=timedelta(seconds=30), drain=timedelta(seconds=10), namespace='default', namespaces=(), namespace_concurrency=None, namespace_rate=None, namespace_quota=None, namespace_open_runs=None, retain=None, age_after=None, deps=None, retry=None, timeout=None, classify=None, tracebacks=False, on_error=None, checkpoints=None, checkpoint_interval=None, settings=None, clock=None, bus=None, transport=None): ...
        def around(self, called, /): ...
        bus: object
        def client(self, *, namespace=None): ...
        def control(self, run_id, verb, /, *, reason='', actor='', phase=None, to=None, note=None): ...
        dead_letters: object
        drain: object
        def events(self, *, types=None, run=None, pipeline=None, after=None, since=None, buffer=DEFAULT_BUFFER): ...
        def find(self, *, pipeline=None, version=None, state=None, ended=None, stage=None, tags=(), attributes=None, since=None, until=None, parent=None, forked_from=None, text='', order='newest', limit=None, after=None): ...
        def get(self, run_id, pipeline=None, /): ...
        def has(self, pipeline): ...
        def health(self, *, patience=PATIENCE): ...
        host: object
        is_open: object
        def migrate(self): ...
        names: object
        namespace: object
        observers: object
        def orphans(self): ...
        pid: object
        pipelines: object
        def purge(self, *, older_than, pipeline=None, version=None, state=None, tags=(), attributes=None, dry_run=False): ...
        queue: object
        def run(self, pipeline, value, /): ...
        runner: object
        runners: object
        schedules: object
        serves: object
        def start(self, pipeline, value, /, *, priority=100, delay=timedelta(0), key=None, while_open=False, tags=(), attributes=None, timeout=None, deadline=None, concurrency_key=None, concurrency=None, rate=None, connection=None): ...
        token: object
        def wake(self): ...
        def within(self, namespace, /): ...
    SLOT: object
    class Schedule:
        attributes: object
        catch_up: object
        created_at: object
        cron: object
        every: object
        last_slot: object
        name: object
        next_at: object
        overlap: object
        paused: object
        pipeline: object
        priority: object
        tags: object
        tz: object
        unreadable: object
        updated_at: object
        version: object
    class Schedules:
        def __init__(self, runtime, scheduler, may=_any): ...
        def backfill(self, name, /, *, since, until): ...
        def delete(self, name, /): ...
        def get(self, name, /): ...
        def list(self): ...
        def pause(self, name, /): ...
        def put(self, name, pipeline, /, *, input, cron=None, every=None, tz=None, overlap='skip', catch_up='latest', priority=100, tags=(), attributes=None): ...
        def restricted(self, may, /): ...
        def resume(self, name, /): ...
        def trigger(self, name, /): ...
        def upcoming(self, name, /, *, limit=10): ...
    class Signal:
        def __init__(self, name): ...
        name: object
        type: object
    class Skip:
        def __init__(self, reason, *, output=NOTHING): ...
        output: object
        reason: object
    class Skipped:
        reason: object
        status: object
    class StateMachine:
        def __init__(self, spec, *, settled=(), clock=_UTC_NOW, on_observer_error=None): ...
        def after(self, hook): ...
        def allowed(self): ...
        def before(self, hook): ...
        def can(self, target): ...
        def guard(self, source, target): ...
        history: object
        is_settled: object
        is_terminal: object
        observer_errors: object
        def restore(spec, snapshot, *, settled=(), clock=_UTC_NOW, on_observer_error=None): ...
        def snapshot(self): ...
        spec: object
        state: object
        def to(self, target, *, reason='', expected=None): ...
        version: object
    class Subscription:
        buffer: object
        def cancel(self): ...
        dropped: object
        failed: object
        handled: object
        handler: object
        interest: object
        is_idle: object
        def offer(self, events): ...
        own: object
        def pump(self, threads): ...
        def put(self, event): ...
        def stats(self): ...
        waiting: object
    class Transition:
        source: object
        target: object
    class Transitions:
        def __init__(self, table, *, initial, name='machine', final=None, allow_unreachable=False, allow_traps=False): ...
        def allowed(self, state): ...
        def allows(self, source, target): ...
        edges: object
        initial: object
        def is_final(self, state): ...
        name: object
        states: object
        def to_mermaid(self): ...
    class Usage:
        cost: object
        input_tokens: object
        output_tokens: object
        requests: object
        tokens: object
    class abc:
        class Backlog:
            definition: object
            queue: object
            since: object
        class Beginning:
            is_whole: object
            def of(cls, text, characters): ...
            size: object
            text: object
        class ClaimRequest:
            definitions: object
            known: object
            limit: object
            namespace: object
            now: object
            quarantined: object
            queues: object
        class Claimed:
            next_due: object
            quarantined: object
            units: object
            waiting: object
        class Clock:
            def follow(self, ask): ...
            def now(self): ...
            def rest(self, span): ...
            def sleep_until(self, moment): ...
            def sql_now(self): ...
        class DueRuns:
            next_due: object
            run_ids: object
        class DueWait:
            due_at: object
            path: object
            run_id: object
        class DueWaits:
            next_due: object
            waits: object
        FAULT_POINTS: object
        Grant: object
        class HeldPhase:
            fence: object
            path: object
            run_id: object
        class LateLevel:
            path: object
            run_id: object
        class LateLevels:
            levels: object
            next_due: object
        class Nudge:
            awaited_by: object
            def joined(self, other): ...
            queues: object
            runs: object
            workers: object
        class Queue:
            def check(self, queue): ...
            def close(self): ...
            crosses_processes: object
            def flush(self, seconds): ...
            def listen(self, wake, queues): ...
            def ping(self): ...
            def put(self, queue): ...
        class Storage:
            def age(self, namespace, now, waited, limit): ...
            def backlog(self, namespace, now): ...
            def begin(self): ...
            def beginning(self, namespace, run_id, path, characters): ...
            blocking: object
            def checkpoints(self, namespace, run_id): ...
            def claim(self, request, grant): ...
            def close(self): ...
            def commit(self, units): ...
            def count(self, namespace, wanted=EVERY_RUN): ...
            def due(self, namespace, now, definitions, limit): ...
            def enlist(self, worker): ...
            def events(self, namespace, run_id, after, limit): ...
            def find(self, namespace, wanted=EVERY_RUN, *, after=None, limit, newest_first=False): ...
            def head(self, namespace, run_id): ...
            def heard(self, namespace, messages): ...
            innermost: object
            def insert_on(self, connection, unit, tell, same=same_json): ...
            def is_committed(self, namespace, run_id, commit_id): ...
            is_server: object
            keeps_schedules: object
            def keyed(self, namespace, pipeline, key): ...
            def late(self, namespace, now, definitions, limit): ...
            def letters(self, namespace, wanted=EVERY_LETTER, *, after=None, limit, newest_first=False): ...
            def listen(self, namespace, heard): ...
            def load(self, namespace, run_id, since=0): ...
            def lost(self, namespace, now, dead_workers, definitions, limit): ...
            def messages(self, namespace, definitions, limit): ...
            def migrate(self): ...
            def now(self): ...
            def nudge(self, namespace, nudge): ...
            nudges: object
            def open(self): ...
            def open_runs(self, namespace, at_most): ...
            def overdue(self, namespace, now, definitions, limit): ...
            def phases(self, namespace, run_id, *, place=None, states=None, after=-1, limit): ...
            def places(self, namespace, run_id): ...
            def purge(self, namespace, wanted, limit): ...
            reach: object
            def renew(self, namespace, worker_id, now, until): ...
            def retire(self, namespace, worker_id): ...
            shared: object
            def statistics(self, namespace, wanted=EVERY_RUN, by='pipeline'): ...
            def steps(self, namespace, run_id, path, generation): ...
            def tally(self, namespace, now, at_most): ...
            timetable: object
            transaction_limit: object
            transactional: object
            def usage(self, namespace, wanted=EVERY_RUN): ...
            def values(self, namespace, run_id, paths): ...
            def workers(self, namespace): ...
        class Tally:
            letters: object
            waiting: object
        class Transaction:
            def abandon(self): ...
            def commit(self): ...
            connection: object
            def fault(self, error): ...
            def lock(self, namespace, run_id, since): ...
            def roll_back(self): ...
            def write(self, unit): ...
        class WorkerRecord:
            host: object
            id: object
            namespace: object
            pid: object
            process_started: object
            seen_at: object
        def pass_by(_): ...
    class ai:
        class DurableCalls:
            def __init__(self, context, *, key=None, models=None, event_stream_handler=None): ...
            engine_spec: object
            def for_agent(self, agent): ...
            def get_default_conversation_id(self, run_id): ...
            def get_default_run_id(self): ...
            def get_durable_operation_backend(self): ...
            def get_model_settings(self): ...
            def get_wrapper_toolset(self, toolset): ...
            in_durable_context: object
            def on_run_error(self, ctx, *, error): ...
            def resolve_model_id(self, ctx, *, model_id): ...
            def wrap_run(self, ctx, *, handler): ...
        class ModelAnswerError:
            ...
        class ModelCallError:
            def __init__(self, message, *, model=None, status=None, retry_after=None): ...
            category: object
            model: object
            retry_after: object
            status: object
        class ModelOutageError:
            category: object
            retryable: object
        class ModelRefusedError:
            ...
        class ModelSetupError:
            ...
        def model_named(name): ...
    def branch(test, then, otherwise, /): ...
    class bus:
        class BusStats:
            readers: object
            subscriptions: object
            told: object
    class console:
        class Picture:
            now: object
            pipeline: object
            retry: object
            run: object
        def watch(handle, *, console=None): ...
    class control:
        ACTIVE: object
        OF_ONE_RUN: object
        PLAIN: object
        STATES: object
        SUMMARIES: object
        TABLE: object
        class Verb:
            ANNOTATE: object
            CANCEL: object
            DISCARD: object
            FORK: object
            PAUSE: object
            RERUN_FROM: object
            RESTART: object
            RESUME: object
            RETRY: object
            ROLLBACK: object
        def allowed_in(state): ...
        def kind_of(state): ...
        def to_markdown(): ...
    class crypto:
        class EncryptedCodec:
            def __init__(self, keys, *, reads_plain=False): ...
            def decode(self, text, /): ...
            def encode(self, text, /): ...
        def encrypted(storage, codec): ...
    def each(step, /, *, limit=None, on_error='fail'): ...
    class errors:
        class AccessError:
            ...
        class AmbiguousRuntimeError:
            def __init__(self, pipeline, runtimes): ...
            pipeline: object
            runtimes: object
        class BudgetExceededError:
            def __init__(self, run_id, phase, key, *, budget, bounds, at_most, used, reserved, cut_off): ...
            at_most: object
            bounds: object
            budget: object
            cut_off: object
            key: object
            phase: object
            reserved: object
            run_id: object
            used: object
        class ChildRunError:
            def __init__(self, child_id, pipeline, state, error=None, *, reason=''): ...
            child_id: object
            error: object
            pipeline: object
            state: object
        class CodecError:
            ...
        class CommandRefusedError:
            def __init__(self, run_id, command, state, allowed, reason=''): ...
            allowed: object
            command: object
            reason: object
            run_id: object
            state: object
        class CompensationNotRegisteredError:
            def __init__(self, run_id, definition, phase): ...
            phase: object
            run_id: object
        class DeadlinePassedError:
            def __init__(self, deadline, now): ...
            deadline: object
            now: object
        class DecodeError:
            def __init__(self, what, problems): ...
            problems: object
            what: object
        class DecryptionError:
            def __init__(self, key_id, problem): ...
            key_id: object
        class DefinitionError:
            nodes: object
        class DuplicatePhaseError:
            def __init__(self, pipeline, path): ...
            path: object
            pipeline: object
        class EncodeError:
            def __init__(self, what, problems, *, says='cannot be stored'): ...
            problems: object
            what: object
        class ForbiddenError:
            def __init__(self, action): ...
            action: object
        class ForeignOriginError:
            def __init__(self, origin): ...
            origin: object
        class InvalidInputError:
            ...
        class InvalidMarkError:
            def __init__(self, what, problem): ...
            problem: object
            what: object
        class InvalidSignalError:
            ...
        class InvalidTransitionError:
            def __init__(self, machine, source, target, allowed, reason=''): ...
            allowed: object
            machine: object
            reason: object
            source: object
            target: object
        class KeyConflictError:
            def __init__(self, key, pipeline, run_id): ...
            key: object
            pipeline: object
            run_id: object
        class LeaseLostError:
            def __init__(self, run_id, phase, fence): ...
            fence: object
            phase: object
            run_id: object
        class MissingDependencyError:
            def __init__(self, name, phase, *, has_namesake=False): ...
            has_namesake: object
            name: object
            phase: object
        class MissingExtraError:
            def __init__(self, feature, extra): ...
            extra: object
            feature: object
        class NamespaceFullError:
            def __init__(self, message, namespace): ...
            namespace: object
        class NoCommonInputError:
            def __init__(self, members): ...
            members: object
        class NoOutputError:
            def __init__(self, run_id, reason): ...
            reason: object
            run_id: object
        class NoResultError:
            def __init__(self, run_id, phase, state, reason=''): ...
            phase: object
            reason: object
            run_id: object
            state: object
        class PhaselineError:
            category: object
            retryable: object
        class PipelineCancelledError:
            verb: object
        class PipelineEndedError:
            def __init__(self, run, error=None, advice=''): ...
            error: object
            run: object
            run_id: object
            state: object
            verb: object
        class PipelineFailedError:
            verb: object
        class PipelineNotRegisteredError:
            def __init__(self, pipeline, runtime, registered, *, version=None): ...
            pipeline: object
            registered: object
            runtime: object
            version: object
        class PipelineRolledBackError:
            verb: object
        class PluginClashError:
            def __init__(self, group, name, packages): ...
            group: object
            name: object
            packages: object
        class PluginError:
            def __init__(self, group, name, package, target, problem): ...
            group: object
            name: object
            package: object
            problem: object
            target: object
        class QueueURLError:
            def __init__(self, url, problem): ...
            url: object
        class QueueUnavailableError:
            def __init__(self, where, problem): ...
            problem: object
            retryable: object
            where: object
        class QuotaExceededError:
            def __init__(self, namespace, quota, bounds, used, at_most=None): ...
            at_most: object
            bounds: object
            quota: object
            used: object
        class ReaderTooSlowError:
            def __init__(self): ...
        class ResultTimeoutError:
            def __init__(self, run_id, seconds): ...
            retryable: object
            run_id: object
            seconds: object
        class RetryPolicyError:
            def __init__(self, option, strategy, problem): ...
            option: object
            problem: object
        class RunError:
            ...
        class RunNotFoundError:
            def __init__(self, run_id, why=''): ...
            run_id: object
        class RunNotSettledError:
            def __init__(self, run_id, state): ...
            run_id: object
            state: object
        class RunNotVisibleError:
            def __init__(self, run_id): ...
            retryable: object
            run_id: object
        class RunningLoopError:
            def __init__(self, verb, instead): ...
            verb: object
        class RuntimeNotOpenError:
            def __init__(self, waiting_for=None, *, view=None): ...
            waiting_for: object
        class RuntimeUsageError:
            ...
        class ScheduleError:
            def __init__(self, schedule, problem): ...
            problem: object
            schedule: object
        class ScheduleNotFoundError:
            def __init__(self, schedule, known=()): ...
            known: object
            schedule: object
        class SchemaVersionError:
            def __init__(self, where, found, known): ...
            found: object
            known: object
            where: object
        class SettingsError:
            def __init__(self, problems): ...
            problems: object
        class SignalRefusedError:
            def __init__(self, run_id, signal, state, reason=''): ...
            reason: object
            run_id: object
            signal: object
            state: object
        class StaleTransitionError:
            def __init__(self, machine, expected, actual): ...
            actual: object
            expected: object
            machine: object
            retryable: object
        class StorageError:
            ...
        class StorageRefusedError:
            def __init__(self, where, problem): ...
            problem: object
            where: object
        class StorageURLError:
            def __init__(self, url, problem): ...
            url: object
        class StorageUnavailableError:
            def __init__(self, where, problem, advice, *, busy=False): ...
            busy: object
            problem: object
            retryable: object
            where: object
        class SubscriptionError:
            ...
        class SubscriptionLimitError:
            def __init__(self, limit): ...
            limit: object
        class TemplateError:
            def __init__(self, source, problems): ...
            column: object
            line: object
            problems: object
            source: object
        class TemplateProblem:
            column: object
            line: object
            text: object
            where: object
        class TooManyOpenRunsError:
            def __init__(self, namespace, open_runs, most): ...
            most: object
            open_runs: object
        class TransportURLError:
            def __init__(self, url, problem): ...
            url: object
        class TypeMismatchError:
            def __init__(self, first, output, second, accepted): ...
            accepted: object
            first: object
            output: object
            second: object
        class UnauthenticatedError:
            def __init__(self, *, expired=False): ...
            expired: object
        class UnknownCheckpointError:
            def __init__(self, run_id, named, checkpoints, phases): ...
            checkpoints: object
            named: object
            phases: object
            run_id: object
        class UnknownPhaseError:
            def __init__(self, run_id, phase, known): ...
            known: object
            phase: object
            run_id: object
        class UnknownPluginError:
            def __init__(self, group, name, known): ...
            group: object
            known: object
            name: object
        class UnknownSignalError:
            def __init__(self, run_id, signal, known): ...
            known: object
            run_id: object
            signal: object
        class WireError:
            def __init__(self, problem): ...
            problem: object
    class events:
        class CheckpointCreated:
            checkpoint: object
            epoch: object
            own_fields: object
            position: object
            revision: object
            wire_name: object
        class ChildStarted:
            again: object
            child: object
            child_pipeline: object
            close: object
            own_fields: object
            wire_name: object
        class DeadLetterDiscarded:
            wire_name: object
        ENGINE_EVENTS: object
        class Emitted:
            data: object
            name: object
            payload: object
            type: object
            wire_name: object
        class EpochBegun:
            epoch: object
            own_fields: object
        class ErrorOccurred:
            attempt: object
            data: object
            error: object
            own_fields: object
            severity: object
            wire_name: object
        class Event:
            at: object
            data: object
            own_fields: object
            phase: object
            pipeline: object
            position: object
            run_id: object
            seq: object
            transition: object
            type: object
            wire_name: object
        class Head:
            at: object
            pipeline: object
            run_id: object
            seq: object
        class PhaseCompensated:
            attempt: object
            own_fields: object
            wire_name: object
        class PhaseCompensationFailed:
            wire_name: object
        class PhaseCompleted:
            attempt: object
            finishes: object
            held: object
            length: object
            own_fields: object
            wire_name: object
        class PhaseDeadLettered:
            attempts: object
            category: object
            crashes: object
            input: object
            own_fields: object
            wire_name: object
        class PhaseFailed:
            attempt: object
            data: object
            error: object
            own_fields: object
            wire_name: object
        class PhaseProgress:
            done: object
            note: object
            own_fields: object
            total: object
            wire_name: object
        class PhaseRetrying:
            again_at: object
            attempt: object
            data: object
            error: object
            note: object
            own_fields: object
            reason: object
            wire_name: object
        class PhaseSkipped:
            count: object
            data: object
            length: object
            live: object
            own_fields: object
            paths: object
            reason: object
            wire_name: object
        class PhaseStarted:
            attempt: object
            fence: object
            own_fields: object
            total: object
            wire_name: object
            worker: object
        class PipelineAnnotated:
            note: object
            own_fields: object
            wire_name: object
        class PipelineCancelled:
            wire_name: object
        class PipelineCompleted:
            wire_name: object
        class PipelineFailed:
            data: object
            error: object
            own_fields: object
            wire_name: object
        class PipelineForked:
            fork: object
            origin: object
            own_fields: object
            wire_name: object
        class PipelinePaused:
            wire_name: object
        class PipelineRestarted:
            wire_name: object
        class PipelineResumed:
            wire_name: object
        class PipelineRetried:
            wire_name: object
        class PipelineRolledBack:
            wire_name: object
        class PipelineRollingBack:
            wire_name: object
        class PipelineStarted:
            wire_name: object
        class Severity:
            CRITICAL: object
            ERROR: object
            WARNING: object
        class SignalReceived:
            actor: object
            id: object
            key: object
            own_fields: object
            signal: object
            wire_name: object
        class SlaBreached:
            data: object
            own_fields: object
            sla_at: object
            state: object
            wire_name: object
        class Transition:
            source: object
            target: object
        class UsageRecorded:
            cost: object
            data: object
            input_tokens: object
            key: object
            output_tokens: object
            own_fields: object
            requests: object
            usage: object
            wire_name: object
        def rebuilt(type_, data, *, run_id, pipeline, seq, at, phase, transition): ...
    class exports:
        class ExportedAttempt:
            attempt: object
            began_at: object
            ended_at: object
            epoch: object
            error: object
            outcome: object
            reason: object
        class ExportedCheckpoint:
            created_at: object
            epoch: object
            id: object
            phase: object
        class ExportedError:
            category: object
            message: object
            type: object
        class ExportedEvent:
            at: object
            data: object
            left_out: object
            phase: object
            seq: object
            source: object
            target: object
            type: object
        class ExportedMove:
            at: object
            source: object
            target: object
        class ExportedPhase:
            attempts: object
            crashes: object
            ended_at: object
            error: object
            failures: object
            generation: object
            output: object
            path: object
            queue: object
            reason: object
            started_at: object
            state: object
            taken_over: object
        class ExportedUsage:
            cost: object
            input_tokens: object
            def of(cls, usage): ...
            output_tokens: object
            requests: object
        class ExportedValue:
            left_out: object
            value: object
        class LeftOut:
            events: object
            phases: object
        class RunExport:
            attributes: object
            checkpoints: object
            created_at: object
            deadline: object
            ended_at: object
            epoch: object
            error: object
            events: object
            exported_at: object
            fingerprint: object
            forked_from: object
            history: object
            id: object
            input: object
            key: object
            left_out: object
            namespace: object
            output: object
            parent_id: object
            parent_path: object
            phases: object
            pipeline: object
            priority: object
            schema_version: object
            started_at: object
            state: object
            tags: object
            timeout_seconds: object
            def to_json(self, *, indent=2): ...
            def to_markdown(self): ...
            usage: object
            usage_by_phase: object
            version: object
        SHOWN_DATA: object
        SHOWN_VALUE: object
    class health:
        class Health:
            at: object
            broker: object
            last_sweep: object
            lists_workers: object
            namespace: object
            ok: object
            patience: object
            problems: object
            queues: object
            schedules: object
            storage: object
            threads: object
            def to_dict(self): ...
            transport: object
            unknown: object
            workers: object
        NOBODY: object
        PATIENCE: object
        class QueueHealth:
            definitions: object
            queue: object
            since: object
            waited: object
        class ScheduleHealth:
            name: object
            since: object
            waited: object
        class ThreadsHealth:
            abandoned: object
            busy: object
            limit: object
        class WorkerHealth:
            alive: object
            id: object
            pid: object
            seen_at: object
    class interest:
        class Interest:
            def concerns(self, event): ...
            pipeline: object
            run: object
            types: object
            def wants(self, event): ...
    class logs:
        class Called:
            log_fields: object
            namespace: object
        FIELDS: object
        class RunContext:
            def filter(self, record): ...
        called: object
    class machine:
        class Change:
            at: object
            reason: object
            source: object
            target: object
            version: object
        Check: object
        class MachineSnapshot:
            def from_dict(cls, data): ...
            history: object
            state: object
            def to_dict(self): ...
            version: object
        Observer: object
        class ObserverFailure:
            change: object
            error: object
        class StateMachine:
            def __init__(self, spec, *, settled=(), clock=_UTC_NOW, on_observer_error=None): ...
            def after(self, hook): ...
            def allowed(self): ...
            def before(self, hook): ...
            def can(self, target): ...
            def guard(self, source, target): ...
            history: object
            is_settled: object
            is_terminal: object
            observer_errors: object
            def restore(spec, snapshot, *, settled=(), clock=_UTC_NOW, on_observer_error=None): ...
            def snapshot(self): ...
            spec: object
            state: object
            def to(self, target, *, reason='', expected=None): ...
            version: object
        class Transitions:
            def __init__(self, table, *, initial, name='machine', final=None, allow_unreachable=False, allow_traps=False): ...
            def allowed(self, state): ...
            def allows(self, source, target): ...
            edges: object
            initial: object
            def is_final(self, state): ...
            name: object
            states: object
            def to_mermaid(self): ...
    class otel:
        class instrument:
            ...
    def parallel(*steps): ...
    def phase(fn=None, /, *, name=None, queue=DEFAULT_QUEUE, label=None, retry=None, timeout=None, heartbeat=None, sla=None, concurrency=None, rate=None, requires=(), transactional=False, may_finish=False, compensate=None): ...
    class places:
        class Place:
            ended_at: object
            path: object
            phase: object
            started_at: object
            states: object
        def page_of(rows, *, place, states, after, limit): ...
        def place_of(path): ...
        def places_of(rows): ...
    class plugins:
        class Loaded:
            errors: object
            members: object
        PHASES: object
        class Plugin:
            group: object
            def load(self): ...
            name: object
            package: object
            target: object
            version: object
        class Plugins:
            def __init__(self, group, *, taken=()): ...
            group: object
            installed: object
            def load(self): ...
            taken: object
        QUEUES: object
        STORAGE: object
        TRANSPORTS: object
        def made(plugins, url, kind): ...
        def phases(): ...
    class prometheus:
        def instrument(*runtimes, registry=REGISTRY, max_age=MAX_AGE): ...
    class queues:
        class dramatiq:
            class DramatiqQueue:
                def __init__(self, broker): ...
                broker: object
                def check(self, queue): ...
                def close(self): ...
                crosses_processes: object
                def flush(self, seconds): ...
                def listen(self, wake, queues): ...
                def ping(self): ...
                def put(self, queue): ...
                served: object
                def traffic(self, queue): ...
            def worker_broker(runtime, /, *more, backend='asyncio'): ...
    class recipes:
        class task_preparation:
            class Catalog:
                by_alias: object
                by_word: object
                guidelines: object
                kinds: object
                def practice(self, kind, category): ...
                practices: object
                def read(cls, *folders, shipped=True): ...
                technologies: object
            class CatalogError:
                def __init__(self, problems): ...
                problems: object
            class CatalogProblem:
                entry: object
                file: object
                key: object
                line: object
                text: object
            class Category:
                DATA_MODEL: object
                HTTP_API: object
                SERVICE: object
                TESTING: object
                label: object
            class Decomposer:
                ...
            class Effort:
                max_hours: object
                min_hours: object
            class EnrichedSubtask:
                best_practices: object
                coding_standards: object
                project_rules: object
                tech_requirements: object
            class Enricher:
                ...
            class InvalidPlanError:
                def __init__(self, task, problems): ...
                task: object
            PLAN_REVIEW: object
            class PlanLimits:
                categories: object
                max_hours: object
                max_hours_of_subtask: object
                max_subtasks: object
            class PlanRefusedError:
                def __init__(self, task, reason, by=''): ...
                by: object
                reason: object
                task: object
            class PlanReview:
                def approve(cls, *, by=''): ...
                by: object
                def edit(cls, subtasks, *, by='', reason=''): ...
                reason: object
                def refuse(cls, reason, *, by=''): ...
                subtasks: object
                verdict: object
            class PlanReviewed:
                by: object
                reason: object
                subtasks: object
                verdict: object
            class PreparedTask:
                prompts: object
                run_id: object
                schema_version: object
                subtasks: object
                def to_json(self, *, indent=2): ...
                def to_markdown(self): ...
            class ProjectContext:
                coding_standards: object
                custom_data: object
                project_rules: object
                tech_stack: object
            class Prompt:
                category: object
                text: object
                title: object
            class PromptWriter:
                ...
            class Subtask:
                category: object
                dependencies: object
                description: object
                estimated_effort: object
                priority: object
                requirements: object
                title: object
            class SubtaskGenerated:
                draft: object
                index: object
                subtask: object
                total: object
            class Task:
                context: object
                description: object
                def from_text(cls, text, *, title=None, context=None): ...
                id: object
                title: object
            class TaskKind:
                deeds: object
                enough: object
                hints: object
                labels: object
                name: object
                practices: object
                rank: object
                signs: object
                subtask: object
                surfaces: object
            class Technology:
                aliases: object
                data_model: object
                documents: object
                elsewhere: object
                http_api: object
                in_context: object
                in_text: object
                migrations: object
                name: object
                odm: object
                orm: object
                role: object
                service: object
                testing: object
                tests: object
            class TemplateDecomposer:
                def __init__(self, catalog=None): ...
            class TemplateEnricher:
                def __init__(self, catalog=None): ...
            class TemplatePromptWriter:
                def __init__(self, catalog=None): ...
            class agents:
                class AgentDecomposer:
                    def __init__(self, model, *, limits=None, repairs=REPAIRS, settings=None): ...
                    tells_subtasks: object
                class AgentEnricher:
                    def __init__(self, model, *, catalog=None, repairs=REPAIRS, settings=None): ...
                class AgentPromptWriter:
                    def __init__(self, model, *, catalog=None, repairs=REPAIRS, settings=None): ...
            def categories_in_order(subtasks): ...
            def enrich_subtask(subtask, task, catalog=None): ...
            def in_dependency_order(subtasks): ...
            def kind_of(task, catalog=None): ...
            def plan_told(events): ...
            def prepared_task(handle): ...
            def problems_of(subtasks, limits=None): ...
            def task_preparation_pipeline(decomposer=None, enricher=None, prompt_writer=None, *, approval=False, limits=None, catalog=None, budget=None): ...
            def write_prompts(task, subtasks, catalog=None): ...
    class settings:
        class Settings:
            checkpoint_interval: object
            database_url: object
            enable_checkpoints: object
            def from_env(cls, env=None): ...
            frontend_url: object
            max_retries: object
            namespace_open_runs: object
            namespace_quota: object
            namespace_quota_cost: object
            namespace_quota_per: object
            namespace_quota_requests: object
            namespace_quota_tokens: object
            queue: object
            redis_host: object
            redis_password: object
            redis_port: object
            retry: object
            storage: object
            timeout: object
    def start_child(pipeline, /, *, close='cancel', name=None, queue=None): ...
    class statistics:
        GROUPINGS: object
        Grouping: object
        class Percentiles:
            most: object
            def of(cls, spans): ...
            p50: object
            p95: object
            p99: object
        QUANTILES: object
        class Sample:
            group: object
            state: object
            took: object
            usage: object
            waited: object
        class Statistics:
            count: object
            duration: object
            group: object
            states: object
            success_rate: object
            usage: object
            waited: object
        def in_order(groups): ...
        def phase_group(pipeline, path): ...
        def rank(count, percent): ...
        def summed_up(samples): ...
        def without_indices(path, instead=''): ...
    class storage:
        class encoded:
            class EncodedStorage:
                def __init__(self, storage, codec): ...
                def age(self, namespace, now, waited, limit): ...
                def backlog(self, namespace, now): ...
                def begin(self): ...
                blocking: object
                def checkpoints(self, namespace, run_id): ...
                def claim(self, request, grant): ...
                def close(self): ...
                def commit(self, units): ...
                def count(self, namespace, wanted=EVERY_RUN): ...
                def due(self, namespace, now, definitions, limit): ...
                def enlist(self, worker): ...
                def events(self, namespace, run_id, after, limit): ...
                def find(self, namespace, wanted=EVERY_RUN, *, after=None, limit, newest_first=False): ...
                def head(self, namespace, run_id): ...
                def heard(self, namespace, messages): ...
                innermost: object
                def insert_on(self, connection, unit, tell, same=same_json): ...
                def is_committed(self, namespace, run_id, commit_id): ...
                is_server: object
                keeps_schedules: object
                def keyed(self, namespace, pipeline, key): ...
                def late(self, namespace, now, definitions, limit): ...
                def letters(self, namespace, wanted=EVERY_LETTER, *, after=None, limit, newest_first=False): ...
                def listen(self, namespace, heard): ...
                def load(self, namespace, run_id, since=0): ...
                def lost(self, namespace, now, dead_workers, definitions, limit): ...
                def messages(self, namespace, definitions, limit): ...
                def migrate(self): ...
                def now(self): ...
                def nudge(self, namespace, nudge): ...
                nudges: object
                def open(self): ...
                def open_runs(self, namespace, at_most): ...
                def overdue(self, namespace, now, definitions, limit): ...
                def phases(self, namespace, run_id, *, place=None, states=None, after=-1, limit): ...
                def places(self, namespace, run_id): ...
                def purge(self, namespace, wanted, limit): ...
                reach: object
                def renew(self, namespace, worker_id, now, until): ...
                def retire(self, namespace, worker_id): ...
                shared: object
                def statistics(self, namespace, wanted=EVERY_RUN, by='pipeline'): ...
                def steps(self, namespace, run_id, path, generation): ...
                def tally(self, namespace, now, at_most): ...
                timetable: object
                transaction_limit: object
                transactional: object
                def usage(self, namespace, wanted=EVERY_RUN): ...
                def values(self, namespace, run_id, paths): ...
                def workers(self, namespace): ...
            class PayloadCodec:
                def decode(self, text, /): ...
                def encode(self, text, /): ...
            log: object
        class memory:
            class MemoryStorage:
                def __init__(self): ...
                def age(self, namespace, now, waited, limit): ...
                def backlog(self, namespace, now): ...
                blocking: object
                def checkpoints(self, namespace, run_id): ...
                def claim(self, request, grant): ...
                def close(self): ...
                def commit(self, units): ...
                def count(self, namespace, wanted=EVERY_RUN): ...
                def due(self, namespace, now, definitions, limit): ...
                def enlist(self, worker): ...
                def events(self, namespace, run_id, after, limit): ...
                def find(self, namespace, wanted=EVERY_RUN, *, after=None, limit, newest_first=False): ...
                def head(self, namespace, run_id): ...
                def heard(self, namespace, messages): ...
                def is_committed(self, namespace, run_id, commit_id): ...
                keeps_schedules: object
                def keyed(self, namespace, pipeline, key): ...
                def late(self, namespace, now, definitions, limit): ...
                def letters(self, namespace, wanted=EVERY_LETTER, *, after=None, limit, newest_first=False): ...
                def load(self, namespace, run_id, since=0): ...
                def lost(self, namespace, now, dead_workers, definitions, limit): ...
                def messages(self, namespace, definitions, limit): ...
                def open(self): ...
                def overdue(self, namespace, now, definitions, limit): ...
                def purge(self, namespace, wanted, limit): ...
                def renew(self, namespace, worker_id, now, until): ...
                def retire(self, namespace, worker_id): ...
                shared: object
                def statistics(self, namespace, wanted=EVERY_RUN, by='pipeline'): ...
                def steps(self, namespace, run_id, path, generation): ...
                def tally(self, namespace, now, at_most): ...
                timetable: object
                def usage(self, namespace, wanted=EVERY_RUN): ...
                def values(self, namespace, run_id, paths): ...
                def workers(self, namespace): ...
        class sql:
            class schema:
                def include_name(name, type_, parent_names): ...
            class store:
                class SqlStorage:
                    def __init__(self, url, *, schema='phaseline', answer_within=ANSWER_WITHIN): ...
                    def age(self, namespace, now, waited, limit): ...
                    def backlog(self, namespace, now): ...
                    def begin(self): ...
                    def beginning(self, namespace, run_id, path, characters): ...
                    def checkpoints(self, namespace, run_id): ...
                    def claim(self, request, grant): ...
                    def close(self): ...
                    def commit(self, units): ...
                    def count(self, namespace, wanted=EVERY_RUN): ...
                    dialect: object
                    def due(self, namespace, now, definitions, limit): ...
                    def enlist(self, worker): ...
                    def events(self, namespace, run_id, after, limit): ...
                    def find(self, namespace, wanted=EVERY_RUN, *, after=None, limit, newest_first=False): ...
                    def head(self, namespace, run_id): ...
                    def heard(self, namespace, messages): ...
                    def insert_on(self, connection, unit, tell, same=same_json): ...
                    def is_committed(self, namespace, run_id, commit_id): ...
                    is_server: object
                    keeps_schedules: object
                    def keyed(self, namespace, pipeline, key): ...
                    def late(self, namespace, now, definitions, limit): ...
                    def letters(self, namespace, wanted=EVERY_LETTER, *, after=None, limit, newest_first=False): ...
                    def listen(self, namespace, heard): ...
                    def load(self, namespace, run_id, since=0): ...
                    def lost(self, namespace, now, dead_workers, definitions, limit): ...
                    def messages(self, namespace, definitions, limit): ...
                    def migrate(self): ...
                    def now(self): ...
                    def nudge(self, namespace, nudge): ...
                    nudges: object
                    def open(self): ...
                    def open_runs(self, namespace, at_most): ...
                    def overdue(self, namespace, now, definitions, limit): ...
                    def phases(self, namespace, run_id, *, place=None, states=None, after=-1, limit): ...
                    def places(self, namespace, run_id): ...
                    def purge(self, namespace, wanted, limit): ...
                    def renew(self, namespace, worker_id, now, until): ...
                    def retire(self, namespace, worker_id): ...
                    def schema_version(self): ...
                    def statistics(self, namespace, wanted=EVERY_RUN, by='pipeline'): ...
                    def steps(self, namespace, run_id, path, generation): ...
                    def tally(self, namespace, now, at_most): ...
                    timetable: object
                    transaction_limit: object
                    transactional: object
                    def upgrade_statements(self): ...
                    def usage(self, namespace, wanted=EVERY_RUN): ...
                    def values(self, namespace, run_id, paths): ...
                    def workers(self, namespace): ...
    class streams:
        class EventStream:
            def __init__(self, runner, wanted, after=None, since=None, buffer=DEFAULT_BUFFER): ...
            def aclose(self): ...
    class subscriptions:
        class SubscriptionStats:
            buffer: object
            dropped: object
            failed: object
            handled: object
            handler: object
            interest: object
            own: object
            waiting: object
    class sync:
        class SyncHandle:
            def __init__(self, runtime, handle): ...
            def annotate(self, note, /, *, reason='', actor=''): ...
            def cancel(self, *, reason='', actor=''): ...
            def checkpoints(self): ...
            def events(self, *, after=0): ...
            def export(self, *, values=True): ...
            def fork(self, at=None, *, reason='', actor=''): ...
            id: object
            is_new: object
            is_visible: object
            def pause(self, *, reason='', actor=''): ...
            def rerun_from(self, phase, /, *, reason='', actor=''): ...
            def restart(self, *, reason='', actor=''): ...
            def result(self, timeout=None): ...
            def result_of(self, phase, /): ...
            def resume(self, *, reason='', actor=''): ...
            def retry(self, *, reason='', actor=''): ...
            def rollback(self, to=None, /, *, reason='', actor=''): ...
            def run(self): ...
            def signal(self, signal, value, /, *, key=None, id=None, actor=''): ...
            def state(self): ...
            def wait(self, timeout=None): ...
        class SyncRuntime:
            def __init__(self, runtime, *, backend='asyncio'): ...
            def call(self, function, /, *args, **kwargs): ...
            def close(self): ...
            def get(self, run_id, pipeline=None, /): ...
            def migrate(self): ...
            def open(self): ...
            def run(self, pipeline, value, /): ...
            runtime: object
            def start(self, pipeline, value, /, *, priority=100, delay=timedelta(0), key=None, while_open=False, tags=(), attributes=None, timeout=None, deadline=None, concurrency_key=None, concurrency=None, rate=None, connection=None): ...
            def walk(self, items, /): ...
            def within(self, namespace, /): ...
    class templates:
        MOST_BYTES: object
        MOST_DEPTH: object
        MOST_STEPS: object
        Registered: object
        class TemplateError:
            def __init__(self, source, problems): ...
            column: object
            line: object
            problems: object
            source: object
        def json_schema(): ...
        def load(path, /, *, input=None, output=None, phases=None): ...
        def loads(text, /, *, input=None, output=None, format='toml', name='<template>', phases=None): ...
    class testing:
        class EventRecorder:
            def __init__(self, bus): ...
            events: object
            def of(self, *types): ...
            def transitions(self, run_id): ...
            types: object
        class FakeClock:
            def __init__(self, start=datetime(2030, 1, 1, tzinfo=UTC)): ...
            def advance(self, delta): ...
            def follow(self, ask): ...
            def now(self): ...
            def rest(self, span): ...
            def settle(self): ...
            def sleep_until(self, moment): ...
            def sql_now(self): ...
        OpenRuntime: object
        class QueueContract:
            def listener(self): ...
            names: object
            def queue(self): ...
            refused: object
            def test_a_listener_hears_its_queues_alone(self, queue): ...
            def test_a_listener_hears_of_all_queues(self, queue, listener): ...
            def test_a_listener_may_come_late(self, queue, listener): ...
            def test_a_listener_may_stop_when_it_is_woken(self, queue, listener): ...
            def test_a_name_that_it_cannot_carry_is_refused(self, queue, listener): ...
            def test_a_permit_wakes_who_listens(self, queue, listener): ...
            def test_any_thread_may_listen(self, queue): ...
            def test_any_thread_may_put(self, queue, listener): ...
            def test_every_listener_is_woken(self, queue): ...
            def test_put_needs_no_listener(self, queue): ...
            def test_stopping_ends_one_listening(self, queue, listener): ...
            def test_who_stopped_is_woken_no_more(self, queue, listener): ...
        class StorageContract:
            ...
        class TransportContract:
            def connect(self): ...
            def lines(self, connect): ...
            def test_all_others_hear_what_one_sends(self, lines): ...
            def test_events_of_every_kind_arrive_as_they_were(self, lines): ...
            def test_many_from_several_threads_all_arrive(self, lines): ...
            def test_namespaces_are_apart(self, lines): ...
            def test_sending_needs_nobody_who_hears(self, lines): ...
            def test_several_lines_of_one_transport_hear_each_other(self, lines, connect): ...
            def test_what_was_sent_before_leaving_arrives(self, lines): ...
            def test_who_joins_hears_what_is_sent_from_then_on(self, lines): ...
            def test_who_left_hears_no_more(self, lines): ...
        class accounts:
            class Effect:
                at: object
                attempt: object
                key: object
                moment: object
                phase: object
                run_id: object
                step: object
            class Moment:
                BEGIN: object
                END: object
                KEPT: object
            class Reply:
                key: object
                outputs: object
                run_id: object
                state: object
            def from_lines(log): ...
            def to_line(account): ...
        class checker:
            CLOCKS_DIFFER: object
            class InvariantError:
                def __init__(self, violations): ...
                violations: object
            LISTED: object
            TEST_MARK: object
            UNFINISHED: object
            def check(storage, namespace='default', *, effects=(), replies=(), clocks_differ=CLOCKS_DIFFER, checkpoints=True): ...
        class faults:
            class Faults:
                def __init__(self, storage): ...
                def at(self, point, action, *, hit=1, times=1): ...
                def disarm(self): ...
                def from_now_on(self, point, action): ...
                passed: object
                struck: object
            def die(): ...
        class pytest_plugin:
            def phaseline_clock(): ...
            def phaseline_runtime(phaseline_clock): ...
    class timetable:
        CatchUp: object
        class DueSchedules:
            next_at: object
            schedules: object
            unreadable: object
        Fate: object
        class Firing:
            expected: object
            schedule: object
            unit: object
        GRACE: object
        Overlap: object
        class ScheduleRecord:
            catch_up: object
            created_at: object
            cron: object
            every: object
            input: object
            last_slot: object
            marks: object
            name: object
            namespace: object
            next_at: object
            overlap: object
            paused: object
            pipeline: object
            priority: object
            revision: object
            rule: object
            updated_at: object
            version: object
            zone: object
        class Timetable:
            def all(self, namespace): ...
            def delete(self, namespace, name): ...
            def due(self, namespace, now, after, limit): ...
            def fire(self, firings): ...
            def get(self, namespace, name): ...
            def put(self, schedule, expected): ...
        class Turn:
            is_late: object
            next_at: object
            slot: object
        class UnreadableSchedule:
            error: object
            stored: object
        def fate_of(schedule, *, goes_on, went_on, missed): ...
        def is_missed(schedule, now, since): ...
        def key_of(schedule, slot): ...
        def slot_text(slot): ...
        def turn_of(schedule, now, since): ...
    class transport:
        Heard: object
        class Line:
            def close(self): ...
            def send(self, events): ...
            trouble: object
        Missed: object
        class Transport:
            def join(self, namespace, heard, missed): ...
    class transports:
        class memory:
            class MemoryTransport:
                def __init__(self): ...
                def carry(self, sender, namespace, events): ...
                def join(self, namespace, heard, missed): ...
                def leave(self, line): ...
        class redis:
            class RedisTransport:
                def __init__(self, url, *, kept=KEPT): ...
                def join(self, namespace, heard, missed): ...
    class units:
        AMENDED: object
        KEPT: object
        class Message:
            kind: object
            run_id: object
            sender: object
            seq: object
        class MessageKind:
            AGAIN: object
            CLOSED: object
            ENDED: object
        class Outcome:
            BLOCKED: object
            COMMITTED: object
            DUPLICATE: object
            FENCED: object
            STALE: object
        class RunRows:
            input: object
            phases: object
            run: object
            signals: object
            since: object
        class SavedValue:
            generation: object
            path: object
            value: object
        class StepResult:
            generation: object
            key: object
            path: object
            result: object
        class Unit:
            amended: object
            begins: object
            commit_id: object
            dropped: object
            events: object
            expected: object
            input: object
            inserted: object
            letter: object
            letter_removed: object
            marks_added: object
            marks_removed: object
            messages: object
            outputs: object
            run: object
            saved: object
            signals: object
            steps: object
            stood: object
            taken: object
            updated: object
        def takes_key(before, run): ...
    class usage:
        AMOUNTS: object
        BOUNDS: object
        class Budget:
            cost: object
            def passed_by(self, usage): ...
            def reached_by(self, usage): ...
            requests: object
            tokens: object
        MOST: object
        NANO: object
        NOTHING_USED: object
        NO_SPENDING: object
        class Quota:
            budget: object
            per: object
        class Reservation:
            fence: object
            key: object
            path: object
            usage: object
        class Spending:
            claimed: object
            phases: object
            reserved: object
            def reserved_by(self, fence_of): ...
            used: object
        class Spent:
            key: object
            usage: object
        class Usage:
            cost: object
            input_tokens: object
            output_tokens: object
            requests: object
            tokens: object
        def check_recordable(usage, what): ...
        def cost_text(cost): ...
        def spending_from(text): ...
        def spending_text(spending): ...
        def total(usages): ...
        def usage_data(usage): ...
        def usage_of(data): ...
        def usage_text(requests, tokens, cost): ...
    def wait_for(signal, /, *, timeout=None, default=NOTHING, key=None, name=None): ...
    class web:
        class Access:
            actor: object
            def allows(self, action, resource=None): ...
            attributes: object
            expires_at: object
            def has_expired(self, now=None): ...
            may: object
            namespace: object
        class Action:
            ANNOTATE: object
            CANCEL: object
            DISCARD: object
            FORK: object
            HEALTH: object
            LIST: object
            PAUSE: object
            READ: object
            REQUEUE: object
            RERUN_FROM: object
            RESTART: object
            RESUME: object
            RETRY: object
            ROLLBACK: object
            SCHEDULE: object
            SIGNAL: object
            START: object
            STATS: object
            SUBSCRIBE: object
        Authorize: object
        Resource: object
        def allow_all(connection): ...
        def asgi_app(runtime, *, authorize, origins=(), rate=DEFAULT, max_body=MAX_BODY, live=DEFAULT_LIMITS, title='Pipelines'): ...
        def console(runtime, *, authorize, read_only=False, hidden=HIDDEN, origins=(), rate=DEFAULT, max_body=MAX_BODY, live=DEFAULT_LIMITS, title='Pipelines'): ...
        def everything(action, resource): ...
        def fastapi_router(runtime, *, authorize, origins=(), rate=DEFAULT, max_body=MAX_BODY, live=DEFAULT_LIMITS): ...
        class feed:
            class FeedLimits:
                buffer: object
                send_within: object
                subscriptions: object
        def problem_of(error, what="a request of the host's"): ...
        class shown:
            HIDDEN: object
        class socketio:
            class SocketIO:
                def __init__(self, runtime, *, authorize, origins=(), rate=DEFAULT, live=DEFAULT_LIMITS): ...
                def close(self): ...
                server: object
    def when(test, step, /): ...
    class wire:
        def all_from_json(text): ...
        def all_to_json(events): ...
        def from_json(text): ...
        def to_json(event, *, tracebacks=False): ...
        def to_wire(event, *, tracebacks=False): ...
        def without_traceback(event): ...

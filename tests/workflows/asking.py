"""A workflow that asks people and does nothing else, so that a gate is tested without what is behind it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import GateStatus
    from playbooks.gates import Gate, Outcome
    from segmentation.workloads import Frozen

from workflows.gates import Gatekeeper


class Question(Frozen):
    """The gate, and why silence must not open it at its deadline; empty: nothing is asked about that."""

    gate: Gate
    restraint: str = ""


class Answer(Frozen):
    """What came of it, everything that was announced, and how often it was asked what restrains."""

    outcome: Outcome
    announced: tuple[GateStatus, ...]
    restrained_by: str
    asked: int


@workflow.defn
class AskWorkflow(Gatekeeper):
    """Asks one gate."""

    @workflow.init
    def __init__(self, question: Question) -> None:
        super().__init__()
        self._announce = self._remember
        self._restraint = self._look
        self._question, self._asked = question, 0
        self._announced: list[GateStatus] = []

    @workflow.run
    async def run(self, question: Question) -> Answer:
        """Ask, and tell all about it."""
        decided = await self.ask(question.gate.model_copy(update={"opened_at": workflow.now()}))
        # As in the product, life goes on after the outcome: whoever gave the last decision still gets an answer.
        await workflow.sleep(1)
        announced = tuple(self._announced)
        return Answer(outcome=decided, announced=announced, restrained_by=self.restrained_by, asked=self._asked)

    async def _remember(self, status: GateStatus) -> None:
        self._announced.append(status)

    async def _look(self) -> str:
        self._asked += 1
        return self._question.restraint

"""Where a visit is when something breaks, and what must work afterwards."""

from __future__ import annotations

import asyncio

import aiomqtt
from playwright.async_api import expect

from drivers.printer.ipp_device import jobs_of
from kioskd.audit.verify import verify
from kioskd.errors import PeerFault
from kioskd.signalling import topics
from kioskd.signalling.messages import Bye, RefusalReason, Refused, Waiting, parse
from kioskd.visit.words import EndReason, PrintStage, ScanStage, Scene
from tests.attacks.people import Agent
from tests.e2e import stage
from tests.faults.hands import Hand
from tests.faults.rig import KIOSK, Rig
from tests.faults.sights import HEALTHY, paper, scan, until_seen

TOLD_S = 60.0
"""How long an agent may be left in doubt about a kiosk that is dead (docs/protocol.md: 35 s)."""
LONG_S = 60.0
LONG_PAGES = 8
LOOK_S = 0.1


async def talking(rig: Rig) -> None:
    """Have a call up."""
    await rig.call()


async def idle(rig: Rig) -> None:
    """Have nobody at the kiosk."""
    await rig.idle()


async def fresh(rig: Rig) -> None:
    """Have a daemon that has just started: its scanner's worker is still there from the look."""
    await rig.idle()
    await rig.stop()
    await rig.start()
    await until_seen(rig, HEALTHY)
    await rig.call()


async def waiting(rig: Rig) -> None:
    """Have a resident wait for an agent."""
    await rig.wait_in_line()


async def taken_in_vain(rig: Rig) -> None:
    """The call that waits is taken, and cannot be had: the agent is told so."""
    await rig.agent.page.get_by_test_id("take").first.click()
    await agent_is_told(rig)


async def refused_for_the_clock(rig: Rig) -> None:
    """By the kiosk's clock the agent's proof is none yet: both are told that it is the clock."""
    await rig.wait_in_line()
    await rig.agent.page.get_by_test_id("take").first.click()
    await rig.resident.until("the clock is told", lambda view: view.refused is PeerFault.CLOCK)


async def asked_to_scan(rig: Rig) -> None:
    """The agent asks for a paper; the resident has not answered."""
    await rig.call()
    await close_papers(rig)
    await rig.agent.ask_scan()
    await until_seen(rig, scan(ScanStage.ASKING))


async def feeding(rig: Rig) -> None:
    """Five pages lie in the feeder, and the agent asks for them."""
    rig.scanner.feeder_pages, rig.scanner.jam_after = 5, None
    await rig.call()
    await close_papers(rig)
    await rig.agent.ask_scan("feeder")
    await until_seen(rig, scan(ScanStage.ASKING))


async def scan_page(rig: Rig) -> None:
    """Scan one paper into the preview."""
    await asked_to_scan(rig)
    await rig.resident.press("scan-start")
    await until_seen(rig, scan(ScanStage.PREVIEW))


async def scan_again(rig: Rig) -> None:
    """Press Scan again: the scanner works, and what was kept is still there."""
    before = rig.resident.view.scan if rig.resident.view else None
    kept = len(before.pages) if before else 0
    rig.scanner.page_s = 0.0
    await rig.resident.press("scan-start")
    await until_seen(rig, scan(ScanStage.PREVIEW))
    after = rig.resident.view.scan if rig.resident.view else None
    assert after is not None
    assert len(after.pages) > kept


async def half_sent(rig: Rig) -> None:
    """A part of a long document has arrived at the agent."""
    rig.scanner.feeder_pages, rig.scanner.jam_after = LONG_PAGES, None
    await rig.call()
    await close_papers(rig)
    await rig.agent.ask_scan("feeder", dpi=300)
    await until_seen(rig, scan(ScanStage.ASKING))
    await rig.resident.press("scan-start")
    await until_seen(rig, scan(ScanStage.PREVIEW, pages=LONG_PAGES), LONG_S)
    await rig.resident.press("scan-send")
    await rig.resident.until(
        "half sent", lambda view: view.scan is not None and 0 < view.scan.done < 1
    )


async def sent(rig: Rig) -> None:
    """What was on its way arrives at the agent."""
    await until_seen(rig, scan(ScanStage.SENT))


async def agent_sees_the_call(rig: Rig) -> None:
    """The agent's page, too, says that the call goes on."""
    state = rig.agent.page.get_by_test_id("call-state")
    await expect(state).to_have_attribute("data-state", "talking", timeout=TOLD_S * 1000)


async def send_pages(rig: Rig) -> None:
    """Press Send: what was kept arrives at the agent."""
    await rig.resident.press("scan-send")
    await until_seen(rig, scan(ScanStage.SENT))


async def all_is_in_the_audit(rig: Rig) -> None:
    """The chain of the audit log is whole, and what happened meanwhile stands in it."""
    assert rig.status is not None
    assert rig.status.audit.lost == 0
    folder = rig.folder / "state" / "audit"
    result = await asyncio.to_thread(verify, folder)
    assert not result.faults
    text = "".join(file.read_text() for file in sorted(folder.glob("*.jsonl")))
    assert text.count('"document-sent"') > 0


async def asked_to_print(rig: Rig) -> None:
    """The agent's document lies before the resident, who has not agreed yet."""
    await rig.call()
    await send_document(rig)
    await until_seen(rig, paper(PrintStage.ASKING))


async def send_document(rig: Rig) -> None:
    """The agent sends a document of two pages."""
    await close_papers(rig)
    letter = rig.folder / rig.file_name
    await asyncio.to_thread(stage.make_pdf, letter, rig.words)
    await asyncio.to_thread(rig.finish, letter)
    await rig.agent.send(letter)


async def refused_for_space(rig: Rig) -> None:
    """The agent reads that the kiosk has no room for the document."""
    status = rig.agent.page.get_by_test_id("print-status")
    await expect(status).to_have_attribute("data-stage", "failed", timeout=TOLD_S * 1000)
    await expect(status).to_contain_text("place")


async def print_again(rig: Rig) -> None:
    """Print one document, to its end."""
    before = rig.printed()
    await asked_to_print(rig)
    await rig.resident.press("print-accept")
    await until_seen(rig, paper(PrintStage.PRINTED))
    assert rig.printed() == before + len(rig.words)


async def close_papers(rig: Rig) -> None:
    """Take away what lies on the screen."""
    view = rig.resident.view
    assert view is not None
    if view.scan is not None:
        over = view.scan.stage.over
        await rig.resident.press("scan-close" if over else "scan-decline")
        if not over:
            await rig.resident.until("scan over", lambda v: v.scan is None or v.scan.stage.over)
            await rig.resident.press("scan-close")
    if view.print is not None:
        over = view.print.stage.over
        await rig.resident.press("print-close" if over else "print-decline")
        if not over:
            await rig.resident.until("print over", lambda v: v.print is None or v.print.stage.over)
            await rig.resident.press("print-close")
    await rig.resident.until("no papers", lambda view: view.scan is None and view.print is None)


def press(action: str) -> Hand:
    """Let the resident press something."""

    async def do(rig: Rig) -> None:
        await rig.resident.press(action)

    return do


async def new_call(rig: Rig) -> None:
    """A new visit works, after whatever became of the last."""
    await rig.idle()
    await rig.call()


async def connecting(rig: Rig) -> None:
    """An agent has claimed the call and then says nothing more."""
    await rig.wait_in_line()
    async with at_broker(rig) as client:
        await client.subscribe(topics.waiting("caf", KIOSK))
        entry = parse(bytes((await anext(aiter(client.messages))).payload))
        assert isinstance(entry, Waiting)
        claim = Agent(rig.authorities.agents, id="silent").claim(entry)
        await client.publish(topics.claim("caf", KIOSK), claim.model_dump_json(), qos=1)
    await rig.resident.until("connecting", lambda view: view.scene is Scene.CONNECTING)


def overheard() -> tuple[Hand, Hand, Hand]:
    """Have a call whose ids the broker knows; let it tell the agent, or both, of its end."""
    ids: list[str] = []

    async def talk(rig: Rig) -> None:
        await rig.wait_in_line()
        async with at_broker(rig) as client:
            for topic in (topics.waiting("caf", KIOSK), topics.agent("caf", "+")):
                await client.subscribe(topic)
            call = agent = ""
            async for message in client.messages:
                if isinstance(said := parse(bytes(message.payload)), Waiting):
                    call = said.call
                else:
                    agent = topics.levels(str(message.topic))[-1]
                if call and agent:
                    break
            ids[:] = [call, agent]
        await rig.call_taken()

    def bye() -> str:
        return Bye(call=ids[0], reason=EndReason.HANG_UP).model_dump_json()

    async def tell_agent(rig: Rig) -> None:
        call, agent = ids
        refused = Refused(call=call, reason=RefusalReason.GONE).model_dump_json()
        async with at_broker(rig) as client:
            for one in (refused, bye()):
                await client.publish(topics.to_agent("caf", KIOSK, agent), one, qos=1)

    async def tell_both(rig: Rig) -> None:
        async with at_broker(rig) as client:
            await client.publish(topics.to_kiosk("caf", KIOSK, ids[1]), bye(), qos=1)
        await tell_agent(rig)

    return talk, tell_agent, tell_both


def at_broker(rig: Rig) -> aiomqtt.Client:
    """Be the broker's owner."""
    return aiomqtt.Client("127.0.0.1", rig.broker.port, protocol=aiomqtt.ProtocolVersion.V5)


async def scanning(rig: Rig) -> None:
    """A page is half scanned, and stays so."""
    await asked_to_scan(rig)
    rig.scanner.page_s = LONG_S
    await rig.resident.press("scan-start")
    await until_seen(rig, scan(ScanStage.SCANNING))


async def sending(rig: Rig) -> None:
    """A scan is on its way to an agent whose page takes its time."""
    await scan_page(rig)
    await rig.agent.hold(5)
    await rig.resident.press("scan-send")
    await until_seen(rig, scan(ScanStage.SENDING))


async def printing_held(rig: Rig) -> None:
    """The printer has the document, and no paper."""
    await asked_to_print(rig)
    await rig.cups.fault("paper-out")
    await rig.resident.press("print-accept")
    await until_seen(rig, paper(PrintStage.HELD))


async def no_jobs(rig: Rig) -> None:
    """Wait until neither CUPS nor the printer has a job: nothing can come out any more."""
    async with asyncio.timeout(LONG_S):
        while True:
            process = await asyncio.create_subprocess_exec(
                *("lpstat", "-h", rig.cups.server, "-o"), stdout=asyncio.subprocess.PIPE
            )
            queued, _ = await process.communicate()
            assert process.returncode == 0, "cupsd does not tell"
            held = await asyncio.to_thread(jobs_of, rig.cups.printer_uri, "not-completed")
            if not queued and not held:
                return
            await asyncio.sleep(LOOK_S)  # neither tells by itself


async def printed_once(rig: Rig) -> None:
    """The job goes on to its end, and came out once."""
    await until_seen(rig, paper(PrintStage.PRINTED))
    assert rig.printed() == rig.printed_before + len(rig.words)


async def told_truly(rig: Rig) -> None:
    """What came out is what the resident was told, and nothing comes after it."""
    view = rig.resident.view
    assert view is not None
    assert view.print is not None
    told = len(rig.words) if view.print.stage is PrintStage.PRINTED else 0
    await no_jobs(rig)
    assert rig.printed() == rig.printed_before + told


async def nothing_printed(rig: Rig) -> None:
    """Nothing comes out of a job that was told as lost."""
    await no_jobs(rig)
    assert rig.printed() == rig.printed_before


async def paper_in(rig: Rig) -> None:
    """Put paper into the printer, and wait for what comes of it."""
    await rig.cups.fault(None)
    await no_jobs(rig)


async def ended(rig: Rig) -> None:
    """The visit is over, and its last page still on the screen."""
    await rig.call()
    await rig.resident.press("hang-up")
    await rig.resident.until("ended", lambda view: view.scene is Scene.ENDED)


async def nothing_left(rig: Rig) -> None:
    """After the daemon's death: no page in the spool, none from the printer, nobody in line."""
    await rig.cups.fault(None)
    await no_jobs(rig)
    assert rig.printed() == rig.printed_before, "a document of a dead visit was printed"
    assert not rig.spooled()
    await rig.agent.back_to_line()
    await expect(rig.agent.page.get_by_test_id("take")).to_have_count(0)


async def agent_is_told(rig: Rig) -> None:
    """The agent's page says that the call is over."""
    state = rig.agent.page.get_by_test_id("call-state")
    await expect(state).to_have_attribute("data-state", "ended", timeout=TOLD_S * 1000)

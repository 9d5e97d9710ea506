"""Prefect's UI as a person uses it: by the words that stand on it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

_PAGE_SECONDS = 60
_SUBMISSION_COUNT = 5


def find(browser: "Chrome", xpath: str, timeout_seconds: float = _PAGE_SECONDS) -> "WebElement":
    """The innermost element that the path finds and that is shown, as soon as there is one."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    def shown(browser: "Chrome") -> "WebElement | None":
        elements = browser.find_elements("xpath", xpath)
        return next((element for element in reversed(elements) if element.is_displayed()), None)

    waiting = WebDriverWait(browser, timeout_seconds, ignored_exceptions=[StaleElementReferenceException])
    element = waiting.until(shown, f"not on {browser.current_url}: {xpath}")
    assert element is not None
    return element


def click(browser: "Chrome", words: str) -> None:
    """Click what says exactly this."""
    from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    def clicked(browser: "Chrome") -> bool:
        find(browser, f"//*[normalize-space()='{words}']").click()
        return True

    moving = [ElementNotInteractableException, StaleElementReferenceException]
    WebDriverWait(browser, _PAGE_SECONDS, ignored_exceptions=moving).until(clicked)


def fill(browser: "Chrome", label: str, text: str) -> None:
    """Put the text into the first field of the form that has this label."""
    from selenium.webdriver.common.keys import Keys

    labelled = f"//label[normalize-space()='{label}']"
    find(browser, labelled)
    field = browser.find_element("xpath", f"({labelled})[1]/following::*[self::input or self::textarea][1]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)


def submit(browser: "Chrome", run_name: str) -> None:
    """Start the run of the form, and go to its page.

    On SQLite the server may answer 503 when another of its transactions has written meanwhile. Its client
    then tries again; the form says that something went wrong, having started nothing, and one clicks again.
    """
    from selenium.webdriver.support.ui import WebDriverWait

    form, refused = browser.current_url, "//*[normalize-space()='Oops. Something went wrong.']"
    for _ in range(_SUBMISSION_COUNT):
        before = set(browser.find_elements("xpath", refused))  # these stay for a while
        click(browser, "Submit")
        WebDriverWait(browser, _PAGE_SECONDS).until(
            lambda seen: seen.current_url != form or set(seen.find_elements("xpath", refused)) - before  # noqa: B023
        )
        if browser.current_url != form:
            browser.refresh()  # the list to which the form leads looks for new runs every 30 s
            click(browser, run_name)
            WebDriverWait(browser, _PAGE_SECONDS).until(lambda seen: "/runs/flow-run/" in seen.current_url)
            return
    raise AssertionError(f"refused {_SUBMISSION_COUNT} times: {refused}")


def wait_until_completed(browser: "Chrome", timeout_seconds: float) -> None:
    """Wait on a run's page until its badge says Completed."""
    find(browser, "//*[normalize-space()='Artifacts']")  # the run's page; other pages have such badges, too
    find(browser, "//*[normalize-space()='Completed']", timeout_seconds)


def read_report(browser: "Chrome") -> str:
    """Open the report among the artifacts of the run whose page is shown; its text."""
    browser.refresh()  # the page keeps the list that it fetched while the run was under way
    click(browser, "Artifacts")
    click(browser, "report")
    find(browser, "//h2[normalize-space()='From dataset to endpoint']")
    picture = find(browser, "//img[@alt='loss over the steps']")
    assert int(str(picture.get_property("naturalWidth"))) > 0
    return str(browser.find_element("tag name", "body").text)

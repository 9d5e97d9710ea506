// The conversation is held here, one for each deployment, and in this tab's session storage; the server keeps none.
import { element, render } from "./markdown.js";

const find = (id) => document.getElementById(id);
const talks = JSON.parse(sessionStorage.getItem("talks") ?? "{}");
const columns = new Map();
let waiting = null;

const { endpoint, speakers } = await (await fetch("speakers")).json();
find("endpoint").textContent = `Endpoint ${endpoint}`;
speakers.forEach(addChoice);
find("speakers").hidden = speakers.length < 2;
showColumns();

function addChoice(speaker) {
  const box = element("input");
  Object.assign(box, { type: "checkbox", name: "speaker", value: speaker.deployment, checked: speaker.chosen });
  box.addEventListener("change", () => {
    if (!chosen().length) box.checked = true; // somebody has to answer
    showColumns();
  });
  find("speakers").append(element("label", box, ` ${speaker.deployment}`));
}

function chosen() {
  const names = [...document.querySelectorAll("[name=speaker]:checked")].map((box) => box.value);
  return speakers.filter((speaker) => names.includes(speaker.deployment));
}

function showColumns() {
  columns.clear();
  find("columns").replaceChildren(...chosen().map((speaker) => {
    const about = element("span", ` ${speaker.model}, ${speaker.traffic} % of the requests`);
    const heading = element("h2", speaker.deployment, about);
    const talk = element("ol", ...history(speaker).map((message) => bubble(message.role, message.content)));
    Object.assign(talk, { className: "talk", tabIndex: 0, ariaLive: "polite", ariaLabel: `Conversation with ${speaker.deployment}` });
    columns.set(speaker.deployment, talk);
    return element("section", heading, talk);
  }));
}

function history(speaker) {
  return talks[speaker.deployment] ?? [];
}

function bubble(role, text) {
  const made = element("li", role === "assistant" ? render(text) : text);
  made.className = role;
  return made;
}

// Shows the question at once; gives what waits for the answer.
function pose(speaker, question) {
  const talk = columns.get(speaker.deployment);
  const messages = [...history(speaker), { role: "user", content: question }];
  const answer = bubble("assistant", "");
  answer.classList.add("waiting");
  talk.append(bubble("user", question), answer);
  talk.scrollTop = talk.scrollHeight;
  return (signal) => wait(speaker, messages, answer, signal).finally(() => { talk.scrollTop = talk.scrollHeight; });
}

async function wait(speaker, messages, answer, signal) {
  try {
    const said = await hear(speaker.deployment, messages, signal, (text) => answer.replaceChildren(render(text)));
    answer.replaceChildren(render(said.answer), note(`${said.latency_seconds.toFixed(1)} s`));
    if (said.left_out_count) answer.append(note(`The first ${said.left_out_count} messages were too long to be sent.`));
    if (!said.knows_history && messages.length > 1) answer.append(note("This deployment is only told the last question."));
    talks[speaker.deployment] = [...messages, { role: "assistant", content: said.answer }];
    sessionStorage.setItem("talks", JSON.stringify(talks));
  } catch (error) {
    answer.className = "error";
    answer.textContent = error.name === "AbortError" ? "Not waited for; this question is forgotten." : error.message;
  }
  answer.classList.remove("waiting");
}

async function hear(deployment, messages, signal, show) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch("ask", { method: "POST", headers, signal, body: JSON.stringify({ deployment, messages }) });
  if (!response.ok) throw new Error((await response.json()).error);
  let unread = "", heard = "";
  for await (const chunk of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
    const lines = (unread + chunk).split("\n");
    unread = lines.pop();
    for (const line of lines.map(JSON.parse)) {
      if (line.error) throw new Error(`${line.error} → ${line.remedy}`);
      if (line.answer) return line;
      show(heard += line.piece);
    }
  }
  throw new Error("The connection to chat-finetune broke.");
}

async function* chunks(stream) { // Safari's streams cannot be iterated
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
}

function note(text) {
  const made = element("span", text);
  made.className = "about";
  return made;
}

find("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const question = find("question").value.trim();
  if (!question || waiting) return;
  find("question").value = "";
  setWaiting(new AbortController());
  // One after the other: on one machine, two models that answer at once slow each other down manifold.
  for (const answer of chosen().map((speaker) => pose(speaker, question))) await answer(waiting.signal);
  setWaiting(null);
});

function setWaiting(controller) {
  waiting = controller;
  for (const control of document.querySelectorAll("button, [name=speaker]")) control.disabled = waiting !== null;
  find("status").textContent = waiting ? "Waiting for the answer; Escape stops that." : "";
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") waiting?.abort();
  const inQuestion = event.target === find("question");
  if (inQuestion && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    find("composer").requestSubmit();
  }
});

find("new").addEventListener("click", () => {
  Object.keys(talks).forEach((deployment) => delete talks[deployment]);
  sessionStorage.removeItem("talks");
  showColumns();
  find("question").focus();
});

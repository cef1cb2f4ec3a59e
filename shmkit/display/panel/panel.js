/* The live panel: keeps the rows that Python sends, and filters and sorts them.

   Python ── "head", "rows" when it is made, then the rows that changed ──▶ this table
   this table ── {do, what} when a button of a row or of the head is pressed ──▶ Python

   A row is replaced only if it changed, so what a person scrolls, sorts, filters, unfolds or has
   the keyboard on stays as it is. The snapshot beside it, which a saved notebook shows, is hidden
   by a rule that is there as long as this is, and lives. */

const BOX = 12; // rows; more get a box that scrolls, as in page.py, and a filter

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

function row(html) {
  const template = element("template", { innerHTML: html });
  return template.content.firstElementChild;
}

// Asks the server to interrupt the kernel, as JupyterLab's stop button does: while a cell runs, its
// kernel receives no message of a widget (ipykernel 7.4).
function cancelButton(kernel) {
  const data = document.getElementById("jupyter-config-data");
  if (!kernel || !data) return "";
  const page = JSON.parse(data.textContent);
  const headers = { "X-XSRFToken": (document.cookie.match("\\b_xsrf=([^;]*)") || [])[1] || "" };
  if (page.token) headers.Authorization = "token " + page.token;
  const button = element("button", { className: "shmkit-cancel", textContent: "Cancel" });
  button.onclick = () => {
    button.disabled = true;
    fetch(`${page.baseUrl}api/kernels/${kernel}/interrupt`, { method: "POST", headers })
      .then((reply) => reply.ok || button.remove());
  };
  return button;
}

function render({ model, el }) {
  const key = model.get("key");
  el.classList.add("shmkit-live");
  el.dataset.live = key;
  const hide = `:root:has([data-live="${key}"]) [data-snapshot="${key}"] { display: none }`;

  const head = element("div");
  const text = element("input", { type: "search", placeholder: "Filter" });
  text.setAttribute("aria-label", "Filter by text");
  const state = element("select");
  state.setAttribute("aria-label", "Filter by state");
  const tools = element("div", { className: "shmkit-tools" }, text, state);
  const box = element("div", { className: "shmkit-box", innerHTML: model.get("table") });
  const body = box.querySelector("tbody");
  const panel = element("div", { className: "shmkit-panel" }, head, tools, box);
  el.append(element("style", { textContent: hide }), panel);

  let rows = [];
  let column = -1; // by which they are sorted; -1 is the order of Python
  let down = false;

  function value(tr) {
    const cell = tr.cells[column];
    return cell ? (cell.dataset.value ?? cell.textContent) : "";
  }

  function order() {
    const found = [...rows];
    if (column < 0) {
      const failed = (tr) => tr.dataset.state === "failed";
      return [...found.filter(failed), ...found.filter((tr) => !failed(tr))];
    }
    const keys = new Map(found.map((tr) => [tr, value(tr)]));
    const { compare } = new Intl.Collator(undefined, { numeric: true });
    const empty = (tr) => keys.get(tr) === ""; // last, whichever way
    return found.sort((a, b) =>
      empty(a) - empty(b) || (down ? -1 : 1) * compare(keys.get(a), keys.get(b)));
  }

  function filter(tr) {
    const name = tr.cells[0];
    const seen = [name.textContent, name.title.split("/").pop(), tr.querySelector("summary")?.textContent];
    const wanted = text.value.toLowerCase();
    tr.hidden = (state.value && tr.dataset.state !== state.value)
      || !seen.some((part) => part?.toLowerCase().includes(wanted));
  }

  function arrange() {
    rows.forEach(filter);
    const next = order();
    if (next.length === body.children.length && next.every((tr, n) => tr === body.children[n])) return;
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    body.replaceChildren(...next);
    focused?.focus();
  }

  function states() {
    const count = {};
    for (const { dataset } of rows) if (dataset.state) {
      count[dataset.state] = (count[dataset.state] || 0) + 1;
    }
    const shown = JSON.stringify(count);
    if (state.dataset.shown === shown) return;
    state.dataset.shown = shown;
    const options = Object.entries(count).map(([name, n]) => new Option(`${name} (${n})`, name));
    const chosen = state.value;
    state.replaceChildren(new Option("all states", ""), ...options);
    state.value = chosen in count ? chosen : "";
    state.hidden = options.length === 0;
  }

  function all() {
    rows = model.get("rows").map(row);
    const many = rows.length > BOX;
    tools.hidden = !many;
    box.classList.toggle("shmkit-many", many);
    box.querySelector("table").hidden = rows.length === 0;
    if (many) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    states();
    arrange();
  }

  function change({ rows: changed }) {
    const kept = model.get("rows"); // what a second view of this model begins with
    let moved = false;
    for (const [number, html] of Object.entries(changed)) {
      kept[number] = html;
      const before = rows[number];
      const after = (rows[number] = row(html));
      moved ||= before.dataset.state !== after.dataset.state;
      if (before.querySelector("details[open]")) after.querySelector("details")?.toggleAttribute("open", true);
      const focused = before.contains(document.activeElement);
      filter(after);
      before.replaceWith(after);
      if (focused) after.querySelector("summary, button")?.focus();
    }
    if (moved) {
      states();
      arrange();
    }
  }

  box.querySelectorAll("thead th").forEach((th, number) => {
    const button = element("button", { textContent: th.textContent });
    button.onclick = () => {
      // Once: upwards; twice: downwards; a third time: as Python sent them.
      [column, down] = column !== number ? [number, false] : down ? [-1, false] : [number, true];
      for (const other of box.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
      if (column >= 0) th.setAttribute("aria-sort", down ? "descending" : "ascending");
      arrange();
    };
    th.replaceChildren(button);
  });
  text.oninput = state.onchange = arrange;
  panel.addEventListener("click", ({ target }) => {
    const button = target.closest("button[data-do]");
    if (!button) return;
    const { ask, what, do: action } = button.dataset;
    if (ask && button.textContent !== ask) {
      const before = button.textContent;
      button.textContent = ask; // a second press says yes
      button.onblur = () => { button.textContent = before; };
    } else {
      model.send({ do: action, what });
    }
  });
  const showHead = () => { head.innerHTML = model.get("head"); };
  const showCancel = () => {
    panel.querySelector(".shmkit-cancel")?.remove();
    panel.prepend(cancelButton(model.get("kernel")));
  };
  model.on("change:head", showHead);
  model.on("change:rows", all);
  model.on("change:kernel", showCancel);
  model.on("msg:custom", change);
  // The kernel was restarted. anywidget (0.11) unties the view from ipywidgets' own mark for that.
  model.on("comm_live_update", () => {
    delete el.dataset.live;
    el.replaceChildren();
  });
  showHead();
  showCancel();
  all();
}

export default { render };

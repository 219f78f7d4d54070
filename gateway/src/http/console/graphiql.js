// GraphiQL itself, if its files can be had. Each is pinned by its digest, so nobody but their author can put words
// into a page that holds a token.

const FILES = [
  ["react@18.3.1/umd/react.production.min.js", "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z"],
  ["react-dom@18.3.1/umd/react-dom.production.min.js", "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1"],
  ["graphiql@3.9.0/graphiql.min.js", "sha384-8NGfVj4CVlqHajlZj+bPJT4thxPMHMJYn7DWK2CvtopLd02E7qsPHazniBYvVjOO"],
];
const STYLE = ["graphiql@3.9.0/graphiql.min.css", "sha384-QMux00XgRtwRLSYIY3kw2rj1ovk5AuuliAchk+HSQbqdbGFnz9GYuqIlOqxhwCE2"];
const PATIENCE = 4000;

/** Shows GraphiQL in `place`; false when its files cannot be had. */
export async function show(place, defaultQuery, token, run) {
  try {
    await load("link", STYLE);
    for (const file of FILES) await load("script", file);
  } catch {
    return false;
  }
  const { React, ReactDOM, GraphiQL } = globalThis;
  const fetcher = (operation) => ({
    subscribe(observer) {
      const stop = run(operation, token(), {
        next: (text) => observer.next(JSON.parse(text)),
        done: () => observer.complete(),
      });
      return { unsubscribe: stop };
    },
  });
  ReactDOM.createRoot(place).render(React.createElement(GraphiQL, { fetcher, defaultQuery }));
  return true;
}

function load(kind, [path, integrity]) {
  const url = `https://unpkg.com/${path}`;
  const element = document.createElement(kind);
  Object.assign(element, { integrity, crossOrigin: "anonymous" });
  Object.assign(element, kind === "link" ? { rel: "stylesheet", href: url } : { src: url });
  return new Promise((resolve, reject) => {
    element.onload = resolve;
    element.onerror = reject;
    setTimeout(reject, PATIENCE);
    document.head.append(element);
  });
}

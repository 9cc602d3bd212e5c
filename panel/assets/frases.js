// The server's own sentences in English; {} stands for what it puts in, which is looked up as well.
const frases = {
  "nada está em execução": "nothing is running",
  "nada está em execução neste diretório de dados": "nothing is running on this data directory",
  "run.json não pode ser lido: {}": "run.json cannot be read: {}",
  "sem números: este braço começou com --telemetry off": "no figures: this arm was started with --telemetry off",
  "o painel não conseguiu olhar: o terminal diz por quê": "the panel could not look: the terminal says why",
  "já há uma carga: pare-a antes de começar outra": "there is a load already: stop it before you start another",
  "diga quantos clientes, ou quantos pedidos por segundo": "say how many callers, or how many orders a second",
  "clientes: de 1 a {}": "callers: 1 to {}",
  "pedidos por segundo: acima de 0, até {}": "orders a second: above 0, up to {}",
  "a loja não responde: espere que todos os serviços voltem": "the shop does not answer: wait until all services are back",
  "{} clientes": "{} callers",
  "{} pedidos por segundo": "{} orders a second",
  "carga: {}": "load: {}",
  "a carga terminou: {}": "the load ended: {}",
  "não há carga": "there is no load",
  "não há serviço {}": "there is no service {}",
  "{} não tem processo agora": "{} has no process at the moment",
  "este braço começou sem pontos de falha: use run_all.py --panel": "this arm was started without failpoints: use run_all.py --panel",
  "pausado": "paused",
  "morto (volta sozinho)": "killed (it comes back by itself)",
  "{} s mais lento": "{} s slower",
  "erra {} das vezes": "fails {} of the time",
  "isso já não se desfaz": "that can no longer be undone",
  "auditoria: limpa": "audit: clean",
  "auditoria: {} violações": "audit: {} violations",
  "não há nada neste endereço": "there is nothing at this address",
  "este endereço não se usa assim": "this address is not used that way",
  "o que a página enviou é grande demais": "what the page sent is too large",
  "este painel só atende em 127.0.0.1": "this panel answers on 127.0.0.1 alone",
  "a ação não veio desta página": "the action did not come from this page",
  "abra o painel pelo endereço que run_all.py mostrou ao começar": "open the panel by the address that run_all.py printed at its start",
  "há páginas demais abertas": "too many pages are open",
  "o número de um pedido é feito de algarismos": "an order's number is made of digits",
  "a cesta está vazia": "the basket is empty",
  "um defeito no painel: o terminal diz qual": "a defect of the panel: the terminal says which",
  "o pedido da página não é o esperado: {}": "the page's request is not what was expected: {}",
};

const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const known = Object.entries(frases).map(([said, english]) =>
  [new RegExp(`^${said.split("{}").map(literal).join("(.+)")}$`, "s"), english]);

/** A sentence of the server's in English; what is not its own (a service's words) stays as it is. */
export function inEnglish(text) {
  for (const [pattern, english] of known) {
    const found = pattern.exec(text);
    if (found) {
      const parts = found.slice(1).map(inEnglish);
      return english.replaceAll("{}", () => parts.shift());
    }
  }
  return text;
}

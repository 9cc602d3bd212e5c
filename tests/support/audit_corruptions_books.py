"""What can be done behind the services' backs to their own books: steps, logs, documents, ledgers."""

from __future__ import annotations

from typing import Final

from tests.support.audit_corruptions import Corrupcao

DOS_LIVROS: Final = (
    Corrupcao(
        "pagamento apagado",
        "enviado",
        "documents-pagamentos row-numbers",
        """
pagamentos: DELETE FROM pagamentos WHERE pedido_id = {id};
""",
    ),
    # The forgotten number leaves a hole.
    Corrupcao(
        "nota esquecida",
        "enviado",
        "invoice-numbers row-numbers shipped",
        """
fiscal: DELETE FROM notas_fiscais WHERE pedido_id = {id};
fiscal: DELETE FROM passos WHERE pedido_id = {id};
fiscal: DELETE FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "buraco nos numeros",
        "",
        "invoice-numbers reason row-numbers",
        """
fiscal: DELETE FROM notas_fiscais WHERE pedido_id = {id};
fiscal: DELETE FROM passos WHERE pedido_id = {id};
fiscal: DELETE FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "contador adiantado",
        "",
        "invoice-numbers",
        """
fiscal: UPDATE numeracao SET ultimo = ultimo + 1;
""",
    ),
    Corrupcao(
        "digito verificador errado",
        "anulado",
        "invoice-keys",
        """
fiscal: UPDATE notas_fiscais SET chave_acesso = substr(chave_acesso, 1, 43) ||
    ((substr(chave_acesso, 44) + 1) % 10) WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "chave de acesso repetida",
        "anulado",
        "invoice-keys",
        """
fiscal: UPDATE notas_fiscais SET chave_acesso = (SELECT max(chave_acesso) FROM notas_fiscais
    WHERE origem = 'loja') WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "movimento apagado",
        "enviado",
        "row-numbers stock-balance stock-items",
        """
estoque: DELETE FROM movimentos WHERE pedido_id = {id} AND produto_id = 2;
""",
    ),
    Corrupcao(
        "saldo mudado",
        "",
        "stock-balance",
        """
estoque: UPDATE produtos SET quantidade_estoque = 7 WHERE id = 4;
""",
    ),
    Corrupcao(
        "baixado antes da abertura",
        "enviado",
        "row-numbers stock-ledger",
        """
estoque: UPDATE movimentos SET id = -1 WHERE pedido_id = {id} AND produto_id = 2;
""",
    ),
    Corrupcao(
        "devolvido duas vezes",
        "anulado",
        "documents-estoque stock-ledger",
        """
estoque: INSERT INTO movimentos (produto_id, pedido_id, tipo, quantidade, instante) SELECT
    produto_id, pedido_id, tipo, quantidade, instante FROM movimentos WHERE pedido_id = {id}
    AND tipo = 'devolucao';
estoque: UPDATE produtos SET quantidade_estoque = quantidade_estoque + 1 WHERE id IN (1, 2);
""",
    ),
    Corrupcao(
        "devolvido a menos",
        "anulado",
        "stock-ledger",
        """
estoque: UPDATE movimentos SET quantidade = 0 WHERE pedido_id = {id} AND produto_id = 2 AND
    tipo = 'devolucao';
estoque: UPDATE produtos SET quantidade_estoque = quantidade_estoque - 1 WHERE id = 2;
""",
    ),
    Corrupcao(
        "transicao ilegal",
        "enviado",
        "log-pagamentos",
        """
pagamentos: INSERT INTO transicoes (pedido_id, de, para, instante) VALUES ({id}, 'aprovado',
    'rejeitado', AGORA);
""",
    ),
    Corrupcao(
        "passo depois da lapide",
        "anulado",
        "log-logistica",
        """
logistica: INSERT INTO transicoes (pedido_id, de, para, instante) VALUES ({id}, 'tombstone',
    'enviado', AGORA);
""",
    ),
    Corrupcao(
        "passo repetido no registro",
        "enviado",
        "log-fiscal",
        """
fiscal: INSERT INTO transicoes (pedido_id, de, para, instante)
    SELECT pedido_id, de, para, instante FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "registro apagado",
        "enviado",
        "log-estoque row-numbers",
        """
estoque: DELETE FROM transicoes WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "registro de pedidos com lacuna",
        "enviado",
        "log-pedidos log-way row-numbers",
        """
pedidos: DELETE FROM transicoes WHERE pedido_id = {id} AND para = 'em_separacao';
""",
    ),
    Corrupcao(
        "situacao do envio mudada",
        "enviado",
        "documents-logistica summary",
        """
logistica: UPDATE envios SET status = 'entregue' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "motivo desconhecido",
        "anulado",
        "log-way reason status-words",
        """
pedidos: UPDATE pedidos SET motivo = 'capricho' WHERE id = {id};
pedidos: UPDATE transicoes SET motivo = 'capricho' WHERE pedido_id = {id} AND para =
    'cancelado';
""",
    ),
    Corrupcao(
        "status desconhecido",
        "aberto",
        "log-pedidos log-way status-words",
        """
pedidos: UPDATE pedidos SET status = 'perdido', motivo = NULL WHERE id = {id};
pedidos: UPDATE transicoes SET para = 'perdido' WHERE pedido_id = {id} AND de <> 'ausente';
""",
    ),
    Corrupcao(
        "importado conduzido",
        "importado",
        "documents-pagamentos gateway-net imported-rows log-pagamentos orphans",
        """
pagamentos: UPDATE passos SET estado = 'aprovado' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "nota anulada de um enviado",
        "enviado",
        "documents-fiscal",
        """
fiscal: UPDATE notas_fiscais SET status = 'cancelada' WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "envio apagado",
        "enviado",
        "documents-logistica row-numbers tracking-codes",
        """
logistica: DELETE FROM envios WHERE pedido_id = {id};
""",
    ),
    Corrupcao(
        "devolvido sem ter sido cancelado",
        "enviado",
        "documents-estoque",
        """
estoque: INSERT INTO movimentos (produto_id, pedido_id, tipo, quantidade, instante) VALUES (2,
    {id}, 'devolucao', 1, AGORA);
estoque: UPDATE produtos SET quantidade_estoque = quantidade_estoque + 1 WHERE id = 2;
""",
    ),
    Corrupcao(
        "separado duas vezes",
        "enviado",
        "stock-ledger",
        """
estoque: INSERT INTO movimentos (produto_id, pedido_id, tipo, quantidade, instante) VALUES (2,
    {id}, 'separacao', -1, (SELECT instante FROM transicoes WHERE pedido_id = {id}));
estoque: UPDATE produtos SET quantidade_estoque = quantidade_estoque - 1 WHERE id = 2;
""",
    ),
    Corrupcao(
        "situacao da cobranca trocada",
        "enviado",
        "gateway-ledger gateway-net",
        """
gateway: UPDATE cobrancas SET situacao = 'negada' WHERE chave = 'pedido-{id}';
""",
    ),
    # A copy of a table has no unique columns: what is twice there is for the auditor to find.
    Corrupcao(
        "pago duas vezes",
        "enviado",
        "documents-pagamentos row-numbers schema",
        """
pagamentos: CREATE TABLE copia AS SELECT * FROM pagamentos;
pagamentos: INSERT INTO copia SELECT * FROM pagamentos WHERE pedido_id = {id};
pagamentos: DROP TABLE pagamentos;
pagamentos: ALTER TABLE copia RENAME TO pagamentos;
""",
    ),
    Corrupcao(
        "faturado duas vezes",
        "enviado",
        "documents-fiscal invoice-keys invoice-numbers row-numbers schema",
        """
fiscal: CREATE TABLE copia AS SELECT * FROM notas_fiscais;
fiscal: INSERT INTO copia SELECT * FROM notas_fiscais WHERE pedido_id = {id};
fiscal: DROP TABLE notas_fiscais;
fiscal: ALTER TABLE copia RENAME TO notas_fiscais;
""",
    ),
    Corrupcao(
        "enviado duas vezes",
        "enviado",
        "documents-logistica row-numbers schema tracking-codes",
        """
logistica: CREATE TABLE copia AS SELECT * FROM envios;
logistica: INSERT INTO copia SELECT * FROM envios WHERE pedido_id = {id};
logistica: DROP TABLE envios;
logistica: ALTER TABLE copia RENAME TO envios;
""",
    ),
)
